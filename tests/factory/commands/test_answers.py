"""Answers for evaluation tools: every turn asked with what was said before, in the tools' own files."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from click.testing import CliRunner

from factory.cli import main
from factory.commands.answers import answers
from factory.config import Sampling
from factory.config.apis import OpenaiEngine
from factory.config.engines import ScriptedEngine
from factory.engines.base import Completion, Request
from factory.errors import ConfigError, EngineError, InputError
from factory.exports.eval_files import questions
from factory.stages.answers import EvalQuestion, answer
from tests.heard import Heard
from tests.pairs import user
from tests.runs import run_folder
from tests.tiny import tiny_model_folder

ALPACA = [{"instruction": "Say a.", "dataset": "helpful_base", "output": "reference"}, {"instruction": "Say b."}]
MT = [
    {"question_id": 81, "category": "writing", "turns": ["First?", "And then?"]},
    {"question_id": "11²", "category": "math", "turns": ["1 + 1?"]},
]


class Echo:
    """Answers with how many turns it saw and the last one; refuses what contains `refuse`."""

    identity = "echo"
    context_length = None

    def __init__(self) -> None:
        self.calls: list[list[Request]] = []

    def count_tokens(self, conversations: Sequence[Any]) -> list[int]:
        return [0 for _ in conversations]

    def generate(self, requests: Sequence[Request]) -> Iterator[Completion]:
        self.calls.append(list(requests))
        for request in reversed(requests):
            last = request.messages[-1]["content"]
            refused = "refuse" in last
            text = None if refused else f"{len(request.messages)}: {last}"
            yield Completion(request.id, text, error="no" if refused else None)


def written(path: Path, rows: list[Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_turns_are_asked_with_what_was_said_and_in_one_call_each() -> None:
    engine = Echo()
    asked = [EvalQuestion("a/b", ("1", "2")), EvalQuestion("c", ("x",), 0.0), EvalQuestion("d", ("refuse", "2"))]
    found = answer(asked, engine, Sampling(temperature=0.5), seed=1)
    assert [one.replies for one in found] == [("1: 1", "3: 2"), ("1: x",), ()]
    assert [one.error for one in found] == [None, None, "no"]
    assert [len(call) for call in engine.calls] == [3, 1]
    assert engine.calls[1][0].messages == [
        {"role": "user", "content": "1"},
        {"role": "assistant", "content": "1: 1"},
        {"role": "user", "content": "2"},
    ]
    assert [request.temperature for request in engine.calls[0]] == [0.5, 0.0, 0.5]
    assert len({request.seed for call in engine.calls for request in call}) == 4


def test_alpaca_eval_gets_its_own_fields_and_never_the_reference_answer(tmp_path: Path) -> None:
    asked = written(tmp_path / "alpaca.jsonl", ALPACA)
    heard = Heard()
    options = {"policy": "my/Model", "engine": ScriptedEngine(), "progress": heard}
    (file,) = answers(asked, "alpaca_eval", tmp_path / "out", **options)
    reading = [f"{asked}: read as alpaca_eval: prompt ← instruction; left aside: dataset, output"]
    assert heard.lines[:2] == [*reading, "the first prompt: 'Say a.'"]
    assert file == tmp_path / "out" / "model_outputs.json"
    first, second = json.loads(file.read_text())
    assert (first["instruction"], first["generator"], first["dataset"]) == ("Say a.", "Model", "helpful_base")
    assert set(second) == {"instruction", "output", "generator"}
    assert first["output"]
    assert first["output"] != "reference"


def test_mt_bench_gets_every_turn_under_the_tool_s_ids(tmp_path: Path) -> None:
    asked = written(tmp_path / "question.jsonl", MT)
    (file,) = answers(
        asked, "mt_bench", tmp_path / "out", policy="./runs/x policy", name="mine", engine=ScriptedEngine()
    )
    assert file == tmp_path / "out" / "model_answer" / "mine.jsonl"
    first, second = (json.loads(line) for line in file.read_text().splitlines())
    assert set(first) == {"question_id", "answer_id", "model_id", "choices", "tstamp"}
    assert (first["question_id"], first["model_id"], second["question_id"]) == (81, "mine", "11²")
    assert len(first["choices"][0]["turns"]) == 2
    assert len(second["choices"][0]["turns"]) == 1


def test_the_same_call_again_asks_nothing_and_gives_the_same_bytes(tmp_path: Path) -> None:
    asked = written(tmp_path / "question.jsonl", MT)
    call = {"policy": "m", "engine": ScriptedEngine()}
    (file,) = answers(asked, "mt_bench", tmp_path / "out", **call)
    before, stamp = file.read_bytes(), file.stat().st_mtime_ns
    answers(asked, "mt_bench", tmp_path / "out", **call)
    assert file.stat().st_mtime_ns == stamp
    (other,) = answers(asked, "mt_bench", tmp_path / "other", **call)
    assert other.read_bytes() == before


def test_no_answer_at_all_is_an_error(tmp_path: Path) -> None:
    script = written(tmp_path / "script.jsonl", [{"error": "no room"}] * 2)
    asked = written(tmp_path / "alpaca.jsonl", ALPACA)
    with pytest.raises(EngineError, match="none of 2 questions: no room"):
        answers(asked, "alpaca_eval", tmp_path / "out", policy="m", engine=ScriptedEngine(script=str(script)))


@pytest.mark.parametrize(
    ("name", "rows", "message"),
    [
        ("alpaca_eval", [{"output": "x"}], "no column holds prompts"),
        ("alpaca_eval", [{"instruction": " "}], "row 1: the instruction is no text"),
        ("mt_bench", [MT[0], {"question_id": 5}], "row 2 has no turns"),
        ("mt_bench", [{"question_id": 5, "turns": "x"}], "row 1: turns is no list"),
        ("mt_bench", [MT[0], MT[0]], "the question 81 is there twice"),
    ],
)
def test_files_that_are_no_questions_are_named(name: str, rows: list[Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        answers(written(tmp_path / "q.jsonl", rows), name, tmp_path / "out", policy="m", engine=ScriptedEngine())


PROMPTS = [
    {"messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Where is Paris?"}]},
    {"messages": [{"role": "user", "content": "2 + 2?"}]},
    {"messages": [{"role": "user", "content": "2 + 2?"}]},
    {"messages": [{"role": "assistant", "content": "no question"}]},
    {"messages": [user("Hello."), {"role": "assistant", "content": "Hi."}, user("Bye.")]},
]
TEXTS = [
    "Be brief.\n\nHuman: Where is Paris?\n\nAssistant:",
    "2 + 2?",
    "Human: Hello.\n\nAssistant: Hi.\n\nHuman: Bye.\n\nAssistant:",
]


def test_any_prompts_are_asked_as_the_conversations_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Echo()
    monkeypatch.setattr("factory.engines.scripted.ScriptedModel.generate", lambda _, asked: engine.generate(asked))
    said = Heard()
    asked_ = written(tmp_path / "p.jsonl", PROMPTS)
    (file,) = answers(asked_, "alpaca_eval", tmp_path / "a", policy="m", engine="scripted", progress=said)
    assert {row["instruction"]: row["output"] for row in json.loads(file.read_text())} == dict(
        zip(TEXTS, ["2: Where is Paris?", "1: 2 + 2?", "3: Bye."], strict=True)
    )
    assert "2 rows are no prompts and are set aside" in "".join(said.lines)
    assert "duplicate_prompt 1" in "".join(said.lines)
    given, asked = answers(tmp_path / "p.jsonl", "mt_bench", tmp_path / "b", policy="m", engine="scripted")
    lines = [json.loads(line) for line in given.read_text().splitlines()]
    questions_ = [json.loads(line) for line in asked.read_text().splitlines()]
    assert asked == tmp_path / "b/question.jsonl"
    assert {line["question_id"]: line["turns"] for line in questions_}.keys() == {one["question_id"] for one in lines}
    assert sorted(line["turns"][0] for line in questions_) == sorted(TEXTS)
    assert [one.turns[0] for one in questions(asked, "mt_bench")] == [line["turns"][0] for line in questions_]


def test_the_command_takes_a_run_and_a_real_model_and_says_where_the_answers_are(tmp_path: Path) -> None:
    run = run_folder(tmp_path / "run", prompts=3)
    model = tiny_model_folder(tmp_path / "policies/tiny")
    arguments = ["answers", run, "--policy", model, "--format", "alpaca_eval", "--out", tmp_path / "out", "--json"]
    done = CliRunner().invoke(main, [*map(str, arguments), "--set", "sampling.max_new_tokens=4"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout) == [str(tmp_path / "out/model_outputs.json")]
    rows = json.loads((tmp_path / "out/model_outputs.json").read_text())
    assert {row["generator"] for row in rows} == {"tiny"}
    assert len(rows) == pl.read_parquet(run / "prompts.parquet").height


def test_a_policy_trained_anew_in_its_folder_is_asked_anew(tmp_path: Path) -> None:
    asked = written(tmp_path / "p.jsonl", PROMPTS)
    policy = tmp_path / "policy"
    policy.mkdir()
    (policy / "config.json").write_text("1")
    call = {"policy": str(policy), "engine": "scripted"}
    before = answers(asked, "alpaca_eval", tmp_path / "out", **call)[0].read_bytes()
    (policy / "config.json").write_text("2")
    assert answers(asked, "alpaca_eval", tmp_path / "out", **call)[0].read_bytes() != before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"engine": "nothing"}, "^answers: engine.kind: there is no 'nothing'"),
        ({"engine": "scripted", "base_url": "http://x"}, "base_url is unknown"),
        ({"sets": ["sampling.temperatur=1"]}, "did you mean temperature"),
        ({"columns": "prompt=query,nothing=x"}, "nothing that a pair has"),
        ({"format": "rm"}, "the formats are alpaca_eval, mt_bench"),
        ({"sampling": {"samples_per_view": 2}}, "one answer to a question"),
        ({"name": "../up"}, "cannot be a file's name"),
    ],
)
def test_what_cannot_be_asked_is_said_before_anything_is_written(
    options: dict[str, Any], message: str, tmp_path: Path
) -> None:
    asked = written(tmp_path / "p.jsonl", PROMPTS)
    with pytest.raises(ConfigError, match=message):
        answers(asked, **{"format": "alpaca_eval", "out": tmp_path / "out", "policy": "m", **options})
    assert not (tmp_path / "out").exists()


def test_a_password_in_the_address_is_used_and_written_nowhere(tmp_path: Path) -> None:
    from factory.commands.answers import _settings

    block = _settings(OpenaiEngine(base_url="http://me:secret@host/v1"), None, None, ["engine.max_retries=1"]).engine
    assert (block.base_url, block.max_retries) == ("http://me:secret@host/v1", 1)
    assert "secret" not in json.dumps(block.fingerprint)
