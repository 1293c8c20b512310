"""Which reading of the principles tells the replies apart best, by programs that look for the feature.

    python benchmarks/principle_options.py --out replies.jsonl   what is missing of the replies, then the results
    python benchmarks/principle_options.py                       the table of docs/paper.md from the results

The bundled model answers each prompt under the good and the bad system message that every option makes of the same
feature, from the set of benchmarks/mechanism.yaml; a program each then says which of the two replies has more of the
feature: its sign. Prompts, features and sampling seeds are those of every option. Nothing is trained.
"""

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

ROOT = Path(__file__).parent.parent
sys.path[0] = str(ROOT)

from benchmarks.mechanism_pool import ORACLES, PRINCIPLES, asked
from factory.config import BUNDLED_MODEL, Principles
from factory.config.engines import TransformersEngine
from factory.engines import open_generator
from factory.engines.base import Request
from factory.identity import draw, prompt_id
from factory.models.ref import ModelRef
from factory.schema import FEATURES, MESSAGES, conform
from factory.stages.contrast import contrast
from factory.store import write_json
from principles import TOGETHER
from principles.views import view_messages

RESULTS, PAGE = ROOT / "benchmarks" / "results" / "principle_options.json", ROOT / "docs" / "paper.md"
BEGIN, END = "<!-- begin: benchmarks/principle_options.py -->", "<!-- end -->"
HELD_DOWN, DRAWN, OTHER = "Concision", "the drawn one", "the other one"
FEATURES_DRAWN = ("Mood", "Self")
DRAWS = 10_000


class Option(NamedTuple):
    """A reading: which features a prompt has whose drawn feature is `drawn`, and how its messages are written."""

    name: str
    of: Callable[[str], list[str]]
    config: Principles = Principles()


def other(drawn: str) -> str:
    """The one that was named and not drawn."""
    return FEATURES_DRAWN[1 - FEATURES_DRAWN.index(drawn)]


ONE, INSTEAD, CLOSED = "one feature (default)", "Concision in its place (default)", Principles(adjective=True)
OPTIONS = (
    Option(ONE, lambda drawn: [drawn]),
    Option("one feature, closed with its adjective", lambda drawn: [drawn], CLOSED),
    Option("both named features at once", lambda drawn: [drawn, other(drawn)]),
    Option("both, closed with their adjectives", lambda drawn: [drawn, other(drawn)], CLOSED),
    Option(INSTEAD, lambda _: [HELD_DOWN]),
    Option("Concision appended to the drawn one", lambda drawn: [drawn, HELD_DOWN]),
)
DEFAULTS = {DRAWN: ONE, OTHER: ONE, HELD_DOWN: INSTEAD}
"""What the signs of each feature are held against, by prompt."""


def tables(option: Option, texts: list[str]) -> pl.DataFrame:
    """The CONTRAST table of the prompts under an option."""
    drawn = [FEATURES_DRAWN[number % 2] for number in range(len(texts))]
    rows = [
        {"prompt_id": prompt_id(turns(text)), "prompt": turns(text), "feature": TOGETHER.join(option.of(feature))}
        for text, feature in zip(texts, drawn, strict=True)
    ]
    frame = pl.DataFrame(rows, schema_overrides={"prompt": MESSAGES})
    named = frame.with_columns(pl.lit("allocated").alias("feature_source"), allocated=pl.concat_list("feature"))
    features = conform(named.with_columns(raw=pl.col("feature"), error=pl.lit(None, pl.String)), FEATURES)
    made = contrast(frame.select("prompt_id", "prompt"), features, PRINCIPLES, option.config, None, 0, 1)
    return frame.select("prompt_id", "prompt").join(made, on="prompt_id")


def turns(text: str) -> list[dict[str, str]]:
    """The prompt as a conversation."""
    return [{"role": "user", "content": text}]


def requests(option: Option, texts: list[str], tokens: int) -> dict[str, Request]:
    """Both views of every prompt, by id."""
    found = {}
    for row in tables(option, texts).to_dicts():
        for view in ("good", "bad"):
            seed = draw(0, "reply", row["prompt_id"], view)
            name = f"{option.name}/{row['feature']}/{row['prompt_id']}/{view}"
            messages = view_messages(row["prompt"], row[f"system_{view}"])
            found[name] = Request(name, messages, tokens, seed=seed)
    return found


def answered(wanted: Sequence[Request], place: Path) -> dict[str, str]:
    """The reply to each request, by id; replies that `place` has are not made again."""
    known = {one["id"]: one["text"] for one in map(json.loads, place.read_text("utf-8").splitlines())} if (
        place.exists()) else {}  # fmt: skip
    missing = [one for one in wanted if one.id not in known]
    with open_generator(TransformersEngine(), ModelRef(BUNDLED_MODEL)) as generator, place.open("a") as journal:
        for answer in generator.generate(missing):
            known[answer.id] = answer.text or ""
            print(json.dumps({"id": answer.id, "text": known[answer.id]}), file=journal, flush=True)
    return {one.id: known[one.id] for one in wanted}


def verdicts(option: Option, texts: Sequence[str], answers: Mapping[str, str]) -> dict[str, Any]:
    """For each feature of an option a sign per prompt, in their order: + where the good reply has more of it."""
    signs: dict[str, str] = {}
    words = {"good": 0, "bad": 0}
    rows = {row["prompt_id"]: row for row in tables(option, list(texts)).to_dicts()}
    for row in (rows[prompt_id(turns(text))] for text in texts):
        name = f"{option.name}/{row['feature']}/{row['prompt_id']}/"
        both = {view: answers[name + view] for view in words}
        words = {view: words[view] + len(text.split()) for view, text in both.items()}
        for number, feature in enumerate(row["feature"].split(TOGETHER)):
            gap = ORACLES[feature](both["good"]) - ORACLES[feature](both["bad"])
            kind = HELD_DOWN if feature == HELD_DOWN else DRAWN if not number else OTHER
            signs[kind] = signs.get(kind, "") + ("+" if gap > 0 else "-" if gap < 0 else "=")
    return {"signs": signs, "words": {view: round(count / len(texts), 1) for view, count in words.items()}}


def values(signs: str) -> NDArray[np.float64]:
    """1 for each +, -1 for each -, else 0."""
    return np.array(["-=+".index(sign) - 1 for sign in signs], dtype=np.float64)


def estimate(values: NDArray[np.float64]) -> str:
    """Mean with its 95 % bootstrap interval over prompts."""
    drawn = np.random.default_rng(0).choice(values, (DRAWS, len(values))).mean(axis=1)
    low, high = np.quantile(drawn, [0.025, 0.975])
    return f"{values.mean():+.2f} ({low:+.2f} to {high:+.2f})"


def table(found: Mapping[str, Any]) -> str:
    """The table of the page: the sign's mean of each option, and what it is less the default of its question."""
    head = "| reading | of | more / even / less | mean sign | less the default, by prompt | words, good | words, bad |"
    lines = [head, "|---|---|--:|---|---|--:|--:|"]
    for option in OPTIONS:
        one = found["options"][option.name]
        for kind, signs in one["signs"].items():
            (usual,) = found["options"][DEFAULTS[kind]]["signs"].values()
            apart = "–" if option.name == DEFAULTS[kind] else estimate(values(signs) - values(usual))
            counts = " / ".join(str(signs.count(sign)) for sign in "+=-")
            words = " | ".join(f"{one['words'][view]:.1f}" for view in ("good", "bad"))
            lines.append(f"| {option.name} | {kind} | {counts} | {estimate(values(signs))} | {apart} | {words} |")
    return "\n".join(lines)


def with_table(page: str, found: Mapping[str, Any]) -> str:
    """The page with the table between its marks."""
    before, _, rest = page.partition(BEGIN)
    return f"{before}{BEGIN}\n\n{table(found)}\n\n{END}{rest.partition(END)[2]}"


def main() -> None:
    """Answer and count."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prompts", type=int, default=128)
    parser.add_argument("--tokens", type=int, default=32, help="longest reply")
    parser.add_argument("--out", type=Path, help="JSON lines of the replies; what is there is not made again")
    given = parser.parse_args()
    if given.out:
        texts = list(dict.fromkeys(one.text for one in asked(False, 128, 0)))[: given.prompts]
        wanted = [one for option in OPTIONS for one in requests(option, texts, given.tokens).values()]
        answers = answered(wanted, given.out)
        options = {option.name: verdicts(option, texts, answers) for option in OPTIONS}
        write_json(RESULTS, {"prompts": len(texts), "tokens": given.tokens, "date": date.today().isoformat(),
                             "options": options})  # fmt: skip
    found = json.loads(RESULTS.read_text("utf-8"))
    PAGE.write_text(with_table(PAGE.read_text("utf-8"), found), "utf-8")
    print(table(found))


if __name__ == "__main__":
    main()
