"""Bad settings for the command line: configurations, filters, principle sets, judge answers, votes and options."""

import io
import json
from pathlib import Path
from typing import Any

import polars as pl
import yaml

from tests.bad_data import Refused, Taken, refused

PAIRS = [{"prompt": f"q{n}", "chosen": f"yes {n}", "rejected": f"no it is {n}"} for n in range(3)]


def lay(folder: Path) -> None:
    """Good prompts and pairs, for what is wrong beside them."""
    (folder / "prompts.jsonl").write_text('{"prompt": "Why?"}\n{"prompt": "Who?"}\n')
    (folder / "pairs.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in PAIRS))
    (folder / "latin.jsonl").write_bytes(b'{"text": "caf\xe9"}\n')
    (folder / "number.jsonl").write_text('{"text": 5}\n')


def written(**blocks: Any) -> bytes:
    base = {
        "prompts": "prompts.jsonl",
        "engine": "scripted",
        "run": {"iterations": 1},
        "filters": [{"use": "duplicate"}],
    }
    return yaml.safe_dump({**base, **blocks}).encode()


NAN, INF = float("nan"), float("inf")
AGREES = [{"use": "judge_agrees"}]

CONFIGS: dict[str, tuple[bytes, Refused]] = {
    "wrong encoding": (b"prompts: caf\xe9", refused("c.yaml", "not UTF-8 text (byte 12)")),
    "utf-16": (written().decode().encode("utf-16"), refused("c.yaml", "not UTF-8")),
    "nul": (b"prompts: a\0b", refused("c.yaml", "#x0000")),
    "launching one": (
        written(training={"launch": {"processes": 1}}),
        refused("training.launch", "set 2 or more, or hosts"),
    ),
    "empty": (b"", refused("c.yaml", "is empty")),
    "key twice": (written() + b"engine: openai\n", refused("c.yaml, line", "the key engine is there twice")),
    "key twice in a block": (b"prompts: x\nrun: {seed: 1, seed: 2}", refused("c.yaml, line 2", "seed is there twice")),
    "deep nesting": (b"a: " + b"[" * 3000, refused("c.yaml", "cannot be read as YAML")),
    "lone surrogate": (b'prompts: "\\ud800"', refused("c.yaml, line 1", "half a character")),
    "python object": (b"prompts: !!python/object/apply:os.system [ls]", refused("c.yaml, line 1", "os.system")),
    "two documents": (b"prompts: x\n---\nengine: scripted", refused("c.yaml, line 2", "another document")),
    "itself": (b"prompts: &p [*p]", refused("c.yaml", "refers to itself")),
    "no prompts": (b"prompts: null", refused("c.yaml", "prompts")),
    "nan": (written(sampling={"temperature": NAN}), refused("c.yaml", "sampling.temperature")),
    "infinity": (written(training={"beta": INF}), refused("c.yaml", "training.beta", "finite")),
    "infinite learning rate": (written(training={"learning_rate": INF}), refused("training.learning_rate", "finite")),
    "negative length": (written(sampling={"max_new_tokens": -5}), refused("sampling.max_new_tokens", "-5")),
    "no iterations": (written(run={"iterations": 0}), refused("run.iterations", "is 0")),
    "no run folder": (written(run={"dir": ""}), refused("run.dir")),
    "nul in the run folder": (written(run={"dir": "a\0b"}), refused("the folder cannot be written", code=1)),
    "unknown format": (written(export={"formats": ["rm", "nope"]}), refused("no export format 'nope'")),
    "format that climbs": (written(export={"formats": ["../../up"]}), refused("no export format '../../up'")),
    "no such filter": (written(filters=[{"use": "lenght_gap"}]), refused("filters[0]", "length_gap")),
    "negative gap": (written(filters=[{"use": "length_gap", "max_chars": -1}]), refused("filters[0]", "max_chars")),
    "nan in a filter": (written(filters=[{"use": "length_balance", "max_mean_gap": NAN}]), refused("max_mean_gap")),
    "benchmark not there": (
        written(filters=[{"use": "decontaminate", "files": ["gone"]}]),
        refused("filters[0]", "gone"),
    ),
    "votes without a judge": (written(filters=AGREES), refused("judge_agrees needs votes")),
    "judges of one name": (written(filters=AGREES, judges=["a", "a"]), refused("two judges are called a")),
    "judge without a name": (written(judges=[{"name": ""}]), refused("judges.0.name")),
    "no such template": (written(judges=[{"name": "a", "template": "nope"}]), refused("no template is called 'nope'")),
    "another kind of template": (written(judges=[{"name": "a", "template": "contrast"}]), refused("of kind contrast")),
    "criterion with a template": (
        written(judges=[{"name": "j", "criterion": "feature", "template": "mine.yaml"}]),
        refused("criterion has a template of its own"),
    ),
    "auditor of its own pairs": (written(policy={"model": "m"}, audit={"judge": "m"}), refused("the judge m wrote")),
    "auditor that filtered": (written(judges=["a"], audit={"judge": "a"}), refused("the judge a filtered")),
    "no model": (written(policy={"model": ""}), refused("policy.model")),
    "no such principles": (written(principles={"set": "nope"}), refused("no principle set is called 'nope'")),
    "script not there": (written(engine={"kind": "scripted", "script": "gone.jsonl"}), refused("gone.jsonl")),
    "script in another encoding": (written(engine={"kind": "scripted", "script": "latin.jsonl"}), refused("not UTF-8")),
    "script of numbers": (
        written(engine={"kind": "scripted", "script": "number.jsonl"}),
        refused("line 1", "an answer is"),
    ),
    "no address": (written(engine={"kind": "openai", "base_url": "nowhere"}), refused("base_url 'nowhere'")),
    "no path": (written(prompts={"paths": [""]}), refused("'': is no path")),
}

FILTERS: dict[str, tuple[bytes, Refused]] = {
    "no filters": (b"judges: []", refused("f.yaml", "the key filters is missing")),
    "filter without a name": (b"filters: [{max: 1}]", refused("filters[0]", "{use: name")),
    "unknown option": (b"filters: [{use: margin, reply: x}]", refused("filters[0] (margin)", "key reply is unknown")),
    "unknown rule": (b"filters: [{use: judge_agrees, rule: x}]", refused("filters[0] (judge_agrees)", "rule")),
    "no judge": (b"filters: [{use: judge_agrees}]", refused("judge_agrees needs votes")),
}

PART = {"adjective": "Good", "principle": "Be good."}
FEATURE: dict[str, Any] = {
    "name": "A",
    "meaning": "m",
    "good": PART,
    "bad": {"adjective": "Bad", "principle": "Be bad."},
}


def features(*features: dict[str, Any]) -> bytes:
    return yaml.safe_dump({"name": "mine", "features": list(features)}).encode()


PRINCIPLES: dict[str, tuple[bytes, Refused]] = {
    "wrong encoding": (b"name: caf\xe9", refused("set.yaml", "not UTF-8")),
    "empty": (b"", refused("set.yaml", "mapping")),
    "key twice": (b"name: a\nname: b", refused("set.yaml, line 2", "name is there twice")),
    "lone surrogate": (b'name: "\\ud800"', refused("set.yaml, line 1", "half a character")),
    "nothing in it": (features(), refused("set.yaml", "features")),
    "feature twice": (features(FEATURE, {**FEATURE, "name": "a"}), refused("the feature a is there twice")),
    "key left out": (features({"name": "A"}), refused("set.yaml", "feature A, meaning", "is missing")),
    "unknown key": (features({**FEATURE, "goood": 1}), refused("feature A, goood")),
    "comma in a name": (features({**FEATURE, "name": "A, B"}), refused("set.yaml", "name")),
    "line end in a name": (features({**FEATURE, "name": "A\nB"}), refused("set.yaml", "name")),
    "sides alike": (features({**FEATURE, "bad": PART}), refused("feature A", "the same")),
    "nan": (features(FEATURE, {**FEATURE, "name": "B", "probability": NAN}), refused("feature B, probability")),
    "principle longer than the context": (
        features({**FEATURE, "good": {"adjective": "Good", "principle": "be good " * 5000}}),
        refused("prompts.jsonl", "2 too_long", "system messages up to"),
    ),
    "probability too large": (features({**FEATURE, "probability": 0.5}), refused("every feature has a probability")),
}

INVALID, ALL = Taken(0, {"invalid": 3}), Taken(3)
JUDGES: dict[str, tuple[dict[str, Any], Refused | Taken]] = {
    "no verdict": ({"text": "I cannot say"}, INVALID),
    "nothing": ({"text": ""}, INVALID),
    "null": ({"text": None}, INVALID),
    "failure": ({"error": "boom"}, INVALID),
    "both": ({"text": "m or M"}, INVALID),
    "thought without an end": ({"text": "<think>m"}, INVALID),
    "another alphabet": ({"text": "\u041c"}, INVALID),
    "nul": ({"text": "m\0"}, INVALID),
    "half a character": ({"text": "\ud800"}, INVALID),
    "novel": ({"text": "x " * 200_000}, INVALID),
    "nan for both": ({"text": "?", "choice_logprobs": {"m": NAN, "M": NAN}}, INVALID),
    "nan for one, text for sure": ({"text": "m", "choice_logprobs": {"m": NAN, "M": -1.0}}, ALL),
    "minus infinity for both": ({"text": "?", "choice_logprobs": {"m": -INF, "M": -INF}}, INVALID),
    "infinity": ({"text": "?", "choice_logprobs": {"m": INF, "M": 0.0}}, INVALID),
    "beyond all numbers": ({"text": "?", "choice_logprobs": {"m": 1e308, "M": -1e308}}, INVALID),
    "one alone": ({"text": "?", "choice_logprobs": {"m": -0.1}}, INVALID),
    "sentence": ({"text": "The best is m."}, ALL),
    "texts for numbers": ({"text": "m", "choice_logprobs": {"m": "a", "M": "b"}}, refused("line 1", "an answer is")),
}


def votes(**columns: Any) -> bytes:
    row = {"pair_id": "x", "judge": "J", "order": "chosen_first", "vote": "chosen", **columns}
    held = io.BytesIO()
    pl.DataFrame([row], infer_schema_length=None).write_parquet(held)
    return held.getvalue()


VOTES: dict[str, tuple[bytes, Refused]] = {
    "no table": (b"hello", refused("votes.parquet", "no judgments can be read")),
    "empty": (b"", refused("votes.parquet", "no judgments can be read")),
    "unknown order": (votes(order="sideways"), refused("'sideways'")),
    "unknown vote": (votes(vote="maybe"), refused("votes.parquet", "'maybe'")),
    "nobody's": (votes(judge=None), refused("votes.parquet", "column judge")),
    "text for a number": (votes(p_chosen="x"), refused("votes.parquet", "p_chosen")),
}

OPTIONS: dict[str, tuple[tuple[str, ...], Refused]] = {
    "unknown format": (
        ("export", "pairs.jsonl", "--format", "../up", "--out", "out"),
        refused("no export format '../up'"),
    ),
    "share beyond one": (
        ("export", "pairs.jsonl", "--format", "rm", "--out", "out", "--mix", "pairs.jsonl=2"),
        refused("mix.0.share"),
    ),
    "share that is none": (
        ("export", "pairs.jsonl", "--format", "rm", "--out", "out", "--mix", "pairs.jsonl=nan"),
        refused("mix.0.share"),
    ),
    "mix not there": (
        ("export", "pairs.jsonl", "--format", "rm", "--out", "out", "--mix", "gone.jsonl"),
        refused("gone.jsonl"),
    ),
    "no repository": (("export", "pairs.jsonl", "--format", "rm", "--push-to-hub", "no slash"), refused("'no slash'")),
    "nowhere to": (("export", "pairs.jsonl", "--format", "rm"), refused("--out")),
    "out is a file": (
        ("filter", "pairs.jsonl", "--out", "pairs.jsonl"),
        refused("the output pairs.jsonl is the input"),
    ),
    "out below a file": (("filter", "pairs.jsonl", "--out", "pairs.jsonl/x"), refused("lies inside the input")),
    "no run": (("status", "nowhere"), refused("nowhere is no run folder")),
    "no run to report": (("report", "pairs.jsonl"), refused("pairs.jsonl is no run folder")),
    "no gold column": (("audit", "pairs.jsonl", "--out", "out", "--gold", "truth"), refused("no column truth")),
    "no key": (("audit", "pairs.jsonl", "--out", "out"), refused("OPENAI_API_KEY", code=1)),
    "init over a file": (("init", "pairs.jsonl"), refused("pairs.jsonl is a file")),
    "init by a path": (("init", "out", "--preset", "../up"), refused("no preset '../up'")),
    "override of nothing": (("run", "gone.yaml", "--set", "run.seed=1"), refused("gone.yaml")),
    "model not there": (("train", "pairs.jsonl", "--policy", "./gone", "--out", "out"), refused("./gone", code=1)),
    "no model": (("train", "pairs.jsonl", "--policy", "bundled:gone", "--out", "out"), refused("bundled:gone", code=1)),
}
