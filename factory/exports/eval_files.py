"""The file formats of AlpacaEval and MT-Bench: questions in, from any prompts; a policy's answers out."""

import json
from collections.abc import Callable, Iterable, Mapping, Set
from pathlib import Path
from typing import Any, NamedTuple

from factory.errors import ConfigError, InputError, short
from factory.exports.base import as_text
from factory.files.rows import SUFFIXES, LocatedRow, rows, suffix_of
from factory.identity import digest
from factory.readers import PairsLike, read_prompts
from factory.readers.reading import LETTERS, Part, Reading
from factory.stages.answers import Answer, EvalQuestion

_MT_BENCH_TEMPERATURE: Mapping[str, float] = {
    **dict.fromkeys(("writing", "roleplay"), 0.7),
    **dict.fromkeys(("stem", "humanities"), 0.1),
    **dict.fromkeys(("extraction", "math", "coding", "reasoning"), 0.0),
}
"""MT-Bench asks each category at a temperature of its own, and any other at 0.7."""
_ALPACA, _MT_BENCH = "instruction", "turns"
"""What a question is called in the tools' own files."""


class EvalFormat(NamedTuple):
    """How a tool writes questions and answers."""

    own: Callable[[Set[str]], bool]
    """Whether a file with these columns is the tool's own file of questions."""
    question: Callable[[LocatedRow], EvalQuestion]
    answers: Callable[[Iterable[Answer], str], str]
    place: Callable[[str], str]
    """Name of the policy to the path of its answers within the folder."""
    questions: Callable[[Iterable[EvalQuestion]], str] | None = None
    """The tool's file of questions, `question.jsonl`, where it needs one beside the answers."""


class Asked(NamedTuple):
    """Questions, and how they were read."""

    questions: list[EvalQuestion]
    own: bool
    """They lie in the tool's own file, and need not be written once more."""
    reading: Reading


def asked(prompts: PairsLike, name: str, columns: Mapping[str, str] | None = None) -> Asked:
    """The questions of the tool's own file, as it has them, or of any prompts that can be read.

    A prompt of several turns is asked with all that was said. Raises InputError naming the row of the tool's own file
    that is no question, or where there is none at all.
    """
    kind = evaluation(name)
    if not columns and isinstance(prompts, str | Path) and _is_own(Path(prompts), kind):
        found = questions(prompts, name)
        # Again from the file, as a question no longer says what its column was called.
        cells = next(rows(Path(prompts))).cells
        used = next(column for column in (_ALPACA, _MT_BENCH) if cells.get(column) is not None)
        told = Part(name, (str(prompts),), {"prompt": (used,)}, tuple(cell for cell in cells if cell != used), ())
        return Asked(found, True, Reading((told,), {}, {"prompt": short(found[0].first, LETTERS)}, "prompt"))
    read = read_prompts(prompts, columns)
    if not read.kept.height:
        raise InputError(f"{prompts}: no prompt can be used; see how it is read with `sso-factory look`")
    texts = read.kept.with_columns(text=as_text())
    return Asked([_of_prompt(row) for row in texts.iter_rows(named=True)], False, read.reading)


def evaluation(name: str) -> EvalFormat:
    """The format called `name`. Raises ConfigError with the names there are."""
    if name not in EVAL_FORMATS:
        raise ConfigError(f"there is no format of answers {name!r}; the formats are {', '.join(EVAL_FORMATS)}")
    return EVAL_FORMATS[name]


def questions(path: str | Path, name: str) -> list[EvalQuestion]:
    """The questions of a tool's own file. Raises InputError naming the row that is none."""
    found = [EVAL_FORMATS[name].question(row) for row in rows(Path(path))]
    ids = [question.id for question in found]
    if not found:
        raise InputError(f"{path} has no question")
    if len(set(ids)) < len(ids):
        twice = next(id_ for at, id_ in enumerate(ids) if id_ in ids[:at])
        raise InputError(f"{path}: the question {twice} is there twice")
    return found


def _is_own(path: Path, kind: EvalFormat) -> bool:
    if not path.is_file() or suffix_of(path) not in SUFFIXES:
        return False
    # One row tells: the tools write every column into each.
    first = next(rows(path), None)
    return first is not None and isinstance(first.cells, dict) and kind.own(first.cells.keys())


def _of_prompt(row: Mapping[str, Any]) -> EvalQuestion:
    """A prompt as a question: its last turn is asked, below all that was said before."""
    *before, last = row["prompt"]
    meta = {name: row[name] for name in ("dataset", "category") if isinstance(row.get(name), str)}
    return EvalQuestion(row["prompt_id"], (last["content"],), meta=meta, before=tuple(before), text=row["text"])


def _cell(row: LocatedRow, name: str) -> Any:
    found = row.cells.get(name) if isinstance(row.cells, dict) else None
    if found is None:
        raise InputError(f"{row.file}: row {row.number} has no {name}")
    return found


def _alpaca_question(row: LocatedRow) -> EvalQuestion:
    text = _cell(row, _ALPACA)
    if not isinstance(text, str) or not text.strip():
        raise InputError(f"{row.file}: row {row.number}: the instruction is no text")
    dataset = row.cells.get("dataset")
    return EvalQuestion(f"{row.number}-{digest(text)}", (text,), meta={"dataset": dataset} if dataset else {})


def _alpaca_answers(answers: Iterable[Answer], model: str) -> str:
    """A JSON array with a row per question: dataset, instruction, output, generator."""
    lines = [
        {**a.question.meta, "instruction": a.question.first, "output": a.replies[0], "generator": model}
        for a in answers
    ]
    return json.dumps(lines, ensure_ascii=False, indent=1) + "\n"


def _mt_question(row: LocatedRow) -> EvalQuestion:
    turns = _cell(row, _MT_BENCH)
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
            # ASCII alone: int reads no ², which is a digit too.
            "question_id": int(number) if number.isascii() and number.isdigit() else number,
            # FastChat draws one; made of the answer, it is the same whenever the file is written.
            "answer_id": digest([model, number, given.replies])[:22],
            "model_id": model,
            "choices": [{"index": 0, "turns": list(given.replies)}],
            # FastChat writes the time; the same answers are to be the same bytes.
            "tstamp": 0.0,
        }
        lines.append(json.dumps(line, ensure_ascii=False) + "\n")
    return "".join(lines)


def _mt_questions(questions: Iterable[EvalQuestion]) -> str:
    """A line per question, as FastChat's question.jsonl."""
    lines = [
        {"question_id": q.id, "category": q.meta.get("category", "general"), "turns": [q.first]} for q in questions
    ]
    return "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)


_ALPACA_EVAL = {"instruction", "dataset", "output", "generator", "datasplit"}
EVAL_FORMATS: dict[str, EvalFormat] = {
    "alpaca_eval": EvalFormat(
        lambda names: "instruction" in names and names <= _ALPACA_EVAL,
        _alpaca_question,
        _alpaca_answers,
        lambda _: "model_outputs.json",
    ),
    "mt_bench": EvalFormat(
        lambda names: {"question_id", "turns"} <= names,
        _mt_question,
        _mt_answers,
        lambda model: f"model_answer/{model}.jsonl",
        _mt_questions,
    ),
}
"""Formats of answers rather than pairs, by name."""
