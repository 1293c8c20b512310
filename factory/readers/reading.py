"""What was read: the layout, which column is what, what was left, and one pair; for people and for files."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import polars as pl

from factory.errors import one_line, short
from factory.readers.names import MEANT, PROMPTED, Columns
from factory.schema import PAIRS, LazySplit, Split

LETTERS = 160
_MOST = 12
_MAY_BELONG = re.compile(
    r"(^|_)(history|contexts?|system|persona|passages?|documents?|dialog(ue)?s?|conversations?|messages|instructions?)"
    r"(_(prompt|messages?|turns?|text|list|before|so_far))?$|^(chosen|rejected)_(reasoning|thinking)(_content)?$"
    r"|^(articles?|posts?|sentences?|statements?|paragraphs?|excerpts?|premises?|evidence|knowledge|facts|background"
    r"|scenario|story|abstract|title|body|text|options|choices|schema|tables?|((code|starter)_)?(code|snippets?)|prefix"
    r"|constraints?"
    r"|hints?|character|examples|few_shot(_examples)?|demonstrations|(previous|earlier|prior)_(turns|rounds|steps)|rounds"
    r"|turns_before|partial_(solution|answer|response)|chat_template_kwargs|task_description|guidelines?|user_profile"
    r"|(options?|choices?|ans|opt)_?[a-e0-4]|op[a-d]|(source|document|passage|article)_(content|text))$",
    re.IGNORECASE,
)
"""Names of columns that may hold a part of a prompt, such as `passage` or `earlier_messages`."""
SIDES = ("prompt", "chosen", "rejected")
OWN_COLUMNS = "prompts"
"""What stands for a layout where a file is read for the columns of its prompts alone."""


class Part(NamedTuple):
    """What one layout reads, of files whose columns are alike."""

    layout: str | None
    """Its name; None for files that could not be read and were left out."""
    files: tuple[str, ...]
    columns: Mapping[str, tuple[str, ...]]
    """Role (prompt, system, chosen, rejected, label, score, …) to the columns it is made of."""
    aside: tuple[str, ...]
    """Columns that follow the pairs and are no part of them."""
    warnings: tuple[str, ...]


class Reading(NamedTuple):
    """How inputs were read."""

    parts: tuple[Part, ...]
    set_aside: Mapping[str, int]
    """Rows that are no pairs, by reason."""
    example: Mapping[str, str] | None
    """The first pair or prompt, shortened; None where there is none."""
    of: str = "pair"
    """What a row is read as: pair or prompt."""

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it, in funnel.json and audit.json."""
        parts = [
            part._asdict() | {"columns": {role: list(names) for role, names in part.columns.items()}}
            for part in self.parts
        ]
        return {
            "parts": [{key: list(v) if isinstance(v, tuple) else v for key, v in part.items()} for part in parts],
            "set_aside": dict(self.set_aside),
            "example": None if self.example is None else dict(self.example),
        }

    def lines(self) -> Iterator[str]:
        """As people read it, each on one line that steers no terminal, whatever the names of columns hold."""
        return map(one_line, self._lines())

    def _lines(self) -> Iterator[str]:
        for part in self.parts:
            if part.layout is not None:
                yield f"{_listed(part.files, 3)}: read as {part.layout}: {'; '.join(_arrows(part, self.of))}"
            yield from (f"warning: {warning}" for warning in part.warnings)
        if self.set_aside:
            total = sum(self.set_aside.values())
            yield f"{total:,} rows are no {self.of}s and are set aside: {counted(self.set_aside)}"
        if self.example:
            sides = " · ".join(f"{side} {text!r}" for side, text in self.example.items())
            yield f"the first {self.of}: {sides.removeprefix('prompt ') if self.of == 'prompt' else sides}"


def counted(reasons: Mapping[str, int]) -> str:
    """Reasons and how often, in one line."""
    return ", ".join(f"{reason} {count:,}" for reason, count in sorted(reasons.items()))


def _arrows(part: Part, of: str) -> Iterator[str]:
    for role, names in part.columns.items():
        if names:
            yield f"{role} ← {' + '.join(names)}"
    if part.aside:
        yield f"{_aside(part.layout, of)}: {_listed(part.aside, _MOST)}"


def _aside(layout: str | None, of: str) -> str:
    """What becomes of further columns: of pairs that are read for their prompts they would be another pair's too."""
    return "carried along" if of == "pair" or layout == OWN_COLUMNS else "left aside"


def _listed(names: Sequence[str], most: int) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def part_of(
    layout: str,
    columns: Mapping[str, tuple[str, ...]],
    schema: Columns,
    remarks: Sequence[str],
    of: str = "pair",
) -> Part:
    """What a layout made of one frame; a warning for each column left that might be part of a pair, or of a prompt."""
    used = {name for names in columns.values() for name in names}
    aside = [name for name in schema if name not in used and name not in PAIRS.columns and not name.startswith("__")]
    # Rows in which these hold anything are rejected, so that nothing of a kept pair lies in them.
    beside = {name for role in ("media", "tools") for name in schema.having(role)}
    names = (MEANT if of == "pair" else PROMPTED) - beside
    # H2O LLM Studio: a row goes on from another one, unless its prompt is a conversation already.
    chained = "id" in schema and all(schema.get(name) == pl.String for name in columns.get("prompt", ()))
    # With a third letter they are the choices of a question, as in MMLU; A and B alone are two replies.
    names = names | ({"parent_id"} if chained else set()) | ({*"ABCDEFGHIJ"} if "C" in schema else set())
    meant = [name for name in aside if (name in names or _MAY_BELONG.search(name)) and _may_speak(schema[name])]
    warnings = [f"{name} is {_aside(layout, of)}, though by its name it may belong to the {of}" for name in meant]
    return Part(
        layout, (), {role: names for role, names in columns.items() if names}, tuple(aside), (*remarks, *warnings)
    )


def objects_hold(name: str, keys: Sequence[str]) -> str:
    """The warning that objects of a column, or of several, hold more than is read of them."""
    return f"objects in {name} also hold {_listed([*dict.fromkeys(keys)], _MOST)}, which are left out"


def _may_speak(dtype: pl.DataType) -> bool:
    """Whether a column can hold what somebody says."""
    return not (dtype.is_numeric() or dtype in (pl.Boolean, pl.Null))


def merged(parts: Sequence[Part]) -> tuple[Part, ...]:
    """Parts that differ in their files alone, as one."""
    found: dict[str, Part] = {}
    for part in parts:
        # By its text, as a part holds dicts and has no hash.
        key = repr(part._replace(files=()))
        files = dict.fromkeys([*(found[key].files if key in found else ()), *part.files])
        found[key] = part._replace(files=tuple(files))
    return tuple(found.values())


class PairsRead(NamedTuple):
    """Pairs that were read, not computed yet: every row is kept, or rejected with a reason."""

    kept: pl.LazyFrame
    rejected: pl.LazyFrame
    parts: tuple[Part, ...] = ()
    first: pl.DataFrame | None = None
    """The first pair, where it is known already."""

    @property
    def split(self) -> LazySplit:
        """The two tables alone."""
        return LazySplit(self.kept, self.rejected)

    @property
    def reading(self) -> Reading:
        """How they were read; the rows that were set aside are not counted yet."""
        # Streamed, so that reading ends with the first pair.
        known = self.kept.select(SIDES).head(1).collect(engine="streaming") if self.first is None else self.first
        first = known.to_dicts()
        return Reading(merged(self.parts), {}, _shortened(first[0]) if first else None)

    def reasons(self) -> dict[str, int]:
        """Rows that are no pairs, by reason; reads them all."""
        counts = self.rejected.group_by("reason").len().sort("reason").collect(engine="streaming")
        return dict(counts.iter_rows())


class PromptsRead(NamedTuple):
    """Prompts that were read: every row is kept, or rejected with a reason."""

    kept: pl.DataFrame
    rejected: pl.DataFrame
    parts: tuple[Part, ...] = ()

    @property
    def split(self) -> Split:
        """The two tables alone."""
        return Split(self.kept, self.rejected)

    @property
    def reading(self) -> Reading:
        """How they were read."""
        first = self.kept.select("prompt").head(1).to_dicts()
        reasons = dict(self.rejected.group_by("reason").len().sort("reason").iter_rows())
        return Reading(merged(self.parts), reasons, _shortened(first[0]) if first else None, "prompt")


def _shortened(row: Mapping[str, Any]) -> dict[str, str]:
    turns = [
        turn["content"] if turn["role"] == "user" else f"[{turn['role']}] {turn['content']}" for turn in row["prompt"]
    ]
    texts = {"prompt": " ".join(turns), **{side: row[side] for side in SIDES[1:] if side in row}}
    return {side: short(text, LETTERS) for side, text in texts.items()}
