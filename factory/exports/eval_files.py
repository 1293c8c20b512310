"""The file formats of AlpacaEval and MT-Bench: their questions in, a policy's answers out."""

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from factory.errors import InputError
from factory.exports.raw import LocatedRow, rows
from factory.identity import digest
from factory.stages.answers import Answer, EvalQuestion

_MT_BENCH_TEMPERATURE: Mapping[str, float] = {
    **dict.fromkeys(("writing", "roleplay"), 0.7),
    **dict.fromkeys(("stem", "humanities"), 0.1),
    **dict.fromkeys(("extraction", "math", "coding", "reasoning"), 0.0),
}
"""MT-Bench asks each category at a temperature of its own, and any other at 0.7."""


class EvalFormat(NamedTuple):
    """How a tool writes questions and answers."""

    question: Callable[[LocatedRow], EvalQuestion]
    answers: Callable[[Iterable[Answer], str], str]
    place: Callable[[str], str]
    """Name of the policy to the path of its answers within the folder."""


def questions(path: str | Path, name: str) -> list[EvalQuestion]:
    """The questions of a file in the format `name`. Raises InputError naming the row that is none."""
    found = [EVAL_FORMATS[name].question(row) for row in rows(Path(path))]
    ids = [question.id for question in found]
    if not found:
        raise InputError(f"{path} has no question")
    if len(set(ids)) < len(ids):
        twice = next(id_ for at, id_ in enumerate(ids) if id_ in ids[:at])
        raise InputError(f"{path}: the question {twice} is there twice")
    return found


def _cell(row: LocatedRow, *names: str) -> Any:
    cells = row.cells if isinstance(row.cells, dict) else {}
    for name in names:
        if cells.get(name) is not None:
            return cells[name]
    raise InputError(f"{row.file}: row {row.number} has no {' or '.join(names)}")


def _alpaca_question(row: LocatedRow) -> EvalQuestion:
    text = _cell(row, "instruction", "prompt")
    if not isinstance(text, str) or not text.strip():
        raise InputError(f"{row.file}: row {row.number}: the instruction is no text")
    dataset = row.cells.get("dataset")
    return EvalQuestion(f"{row.number}-{digest(text)}", (text,), meta={"dataset": dataset} if dataset else {})


def _alpaca_answers(answers: Iterable[Answer], model: str) -> str:
    """A JSON array with a row per question: dataset, instruction, output, generator."""
    lines = [
        {**a.question.meta, "instruction": a.question.turns[0], "output": a.replies[0], "generator": model}
        for a in answers
    ]
    return json.dumps(lines, ensure_ascii=False, indent=1) + "\n"


def _mt_question(row: LocatedRow) -> EvalQuestion:
    turns = _cell(row, "turns")
    if not isinstance(turns, list) or not turns or not all(isinstance(turn, str) and turn.strip() for turn in turns):
        raise InputError(f"{row.file}: row {row.number}: turns is no list of texts")
    category = str(row.cells.get("category", ""))
    temperature = _MT_BENCH_TEMPERATURE.get(category, 0.7)
    return EvalQuestion(str(_cell(row, "question_id")), tuple(turns), temperature, {"category": category})


def _mt_answers(answers: Iterable[Answer], model: str) -> str:
    """A line per question, as FastChat's model_answer files."""
    lines = []
    for given in answers:
        number = given.question.id
        line = {
            "question_id": int(number) if number.isdigit() else number,
            "answer_id": digest([model, number, given.replies])[:22],
            "model_id": model,
            "choices": [{"index": 0, "turns": list(given.replies)}],
            "tstamp": 0.0,
        }
        lines.append(json.dumps(line, ensure_ascii=False) + "\n")
    return "".join(lines)


EVAL_FORMATS: dict[str, EvalFormat] = {
    "alpaca_eval": EvalFormat(_alpaca_question, _alpaca_answers, lambda _: "model_outputs.json"),
    "mt_bench": EvalFormat(_mt_question, _mt_answers, lambda model: f"model_answer/{model}.jsonl"),
}
"""Formats of answers rather than pairs, by name."""
