"""Records (JSON objects) to typed frames: what a column holds is found by looking at every record.

Records whose columns hold different kinds of values, such as a prompt that is a text in one and a list in another, come
out as different frames, so that each keeps its types. Values that no column type fits are kept as JSON texts.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import polars as pl

from factory.files.json_text import retold
from factory.identity import replace_surrogates
from factory.readers.messages import (
    ODD,
    TURN,
    left_of,
    message_kind,
    no_turns,
    reply_turn,
    spoken_by,
    system_text,
    turn,
)
from factory.readers.names import LISTS, NAMES, REPLIES, SPOKEN, plainly

CHUNK = 20_000
"""Records held as Python objects at once."""

_INT64 = 2**63
_MOST_DEPTH = 500
"""Deepest nesting of a JSON value that a cell may hold."""
_SPOKEN = SPOKEN | REPLIES
_PROMPTS = frozenset(NAMES["prompt"])
_LIST_KINDS = ("messages", "texts", "rounds")
DTYPES: dict[str, pl.DataType] = {
    "text": pl.String(),
    "json": pl.String(),
    "odd": ODD,
    "bool": pl.Boolean(),
    "int": pl.Int64(),
    "float": pl.Float64(),
    "message": TURN,
    "messages": pl.List(TURN),
    "texts": pl.List(pl.String()),
    "rounds": pl.List(pl.List(pl.String())),
    "empty": pl.List(pl.Null()),
}
"""The kinds of values, and the column type of each."""


class Value(NamedTuple):
    """A JSON value, its kind (a key of the column types, or None for null), and its form in a column."""

    kind: str | None
    value: Any


def value_of(raw: Any) -> Value:
    """What a JSON value is. Raises RecursionError for one that is nested too deeply to be kept."""
    match raw:
        case None:
            return Value(None, None)
        case str():
            return Value("text", raw)
        # Before int: in Python True is one.
        case bool():
            return Value("bool", raw)
        # A larger one fits no column, and is kept as JSON, digit by digit.
        case int() if -_INT64 <= raw < _INT64:
            return Value("int", raw)
        case float():
            return Value("float", raw)
        case list():
            return _list_of(raw)
        case dict() if message_kind(raw):
            return Value("message", turn(raw))
    if _deeper(raw, _MOST_DEPTH):
        raise RecursionError
    return Value("json", json.dumps(raw, ensure_ascii=False))


def _deeper(raw: Any, most: int) -> bool:
    """Whether lists and objects are nested deeper than `most`: Python's own limit differs between its versions."""
    level = [raw] if isinstance(raw, dict | list) else []
    for _ in range(most):
        inner = (one.values() if isinstance(one, dict) else one for one in level)
        level = [one for values in inner for one in values if isinstance(one, dict | list)]
        if not level:
            return False
    return True


def cell(name: str, raw: Any) -> Value:
    """`value_of` what stands in the column `name`; odd for what nobody can have said."""
    found = value_of(raw)
    if found.kind not in ("json", "message", "messages"):
        return found
    called = plainly(name)
    if called not in _SPOKEN:
        if found.kind == "json" or _talk(called, raw):
            return found
        whole = json.dumps(raw, ensure_ascii=False)
        # Odd, as the user may name the column for a reply's, and nobody has said that.
        return Value("json", whole) if called in LISTS else Value("odd", {"json": whole})
    # A system message is wanted as text, whatever it is written as.
    if called in NAMES["system"] and (text := system_text(raw)) is not None:
        return Value("text", text)
    if found.kind != "json":
        return found
    reply = reply_turn(raw) if called in REPLIES else None
    return Value("message", reply) if reply else Value("odd", {"json": found.value})


def _talk(called: str, raw: Any) -> bool:
    """Whether what looks like chat messages is a conversation, and no annotation or candidate that has a `from`."""
    every = raw if isinstance(raw, list) else [raw]
    return all(spoken_by(one) and not (called in LISTS and left_of(one)) for one in every)


def _list_of(raw: list[Any]) -> Value:
    if not raw:
        return Value("empty", raw)
    if all(isinstance(item, str) for item in raw):
        return Value("texts", raw)
    if all(isinstance(item, dict) for item in raw) and message_kind(raw[0]):
        return Value("messages", [turn(item) for item in raw])
    if all(isinstance(item, list) and all(isinstance(text, str) for text in item) for item in raw):
        return Value("rounds", raw)
    return Value("json", json.dumps(raw, ensure_ascii=False))


class _Group:
    """Records whose columns agree in kind."""

    def __init__(self, asked: frozenset[str] = frozenset()) -> None:
        self.kinds: dict[str, str] = {}
        self.asked = asked
        """Which columns of a prompt its records have: a column that is not there is another thing than an empty one."""
        self._rows: list[dict[str, Any]] = []
        self._frames: list[pl.DataFrame] = []

    def takes(self, kinds: Mapping[str, str]) -> bool:
        """Whether a record of these kinds fits."""
        return all(_merged(self.kinds.get(name, kind), kind) for name, kind in kinds.items())

    def add(self, kinds: Mapping[str, str], row: dict[str, Any]) -> None:
        """Take a record."""
        for name in row:
            kind = kinds.get(name, "")
            self.kinds[name] = _merged(self.kinds.get(name, kind), kind) or kind
        self._rows.append(row)

    def flush(self) -> None:
        """Turn the records held into a frame."""
        if self._rows and self.kinds:
            columns = {name: column([row.get(name) for row in self._rows], k) for name, k in self.kinds.items()}
            self._frames.append(pl.DataFrame(columns))
            self._rows = []

    def frame(self) -> pl.DataFrame:
        """All records taken."""
        self.flush()
        if not self._frames:
            return pl.DataFrame({"": [None] * len(self._rows)}).drop("")
        # Relaxed, as a part without a value in some column has it as Null.
        return pl.concat(self._frames, how="diagonal_relaxed", rechunk=False)


def _merged(one: str, other: str) -> str | None:
    """The kind that holds both, or None."""
    if one == other or not other:
        return one
    if not one or {one, other} == {"int", "float"}:
        return other if not one else "float"
    if one == "empty" and other in _LIST_KINDS:
        return other
    return one if other == "empty" and one in _LIST_KINDS else None


def column(values: list[Any], kind: str) -> pl.Series:
    """Values of a kind as a column of its type; what is no Unicode in them is mended."""
    dtype = DTYPES.get(kind, pl.Null())
    if kind == "float":
        values = [None if value is None else float(value) for value in values]
    if kind == "messages":
        return _messages(values)
    try:
        return pl.Series(values, dtype=dtype)
    except UnicodeEncodeError:
        return pl.Series(retold(values, replace_surrogates), dtype=dtype)


def by_cell(cells: pl.Expr, read: Callable[[Any], Any], kind: str) -> pl.Expr:
    """What `read` makes of each cell that is not null, as a column of a kind."""

    def make(rows: pl.Series) -> pl.Series:
        return column([None if cell is None else read(cell) for cell in rows.to_list()], kind).alias(rows.name)

    # is_elementwise, or polars would hold the whole column until its last row is there.
    return cells.map_batches(make, return_dtype=DTYPES[kind], is_elementwise=True)


def _messages(values: list[Any]) -> pl.Series:
    """Lists of turns, built column by column, which is several times quicker than from the dicts themselves."""
    flat = [item for value in values if value for item in value]
    fields = {name: column([item[name] for item in flat], "text") for name in TURN.to_schema()}
    owners = [row for row, value in enumerate(values) if value for _ in value]
    turns = pl.DataFrame(fields).select(pl.struct(*fields).alias("turns"), owner=pl.Series(owners, dtype=pl.Int64))
    grouped = turns.group_by("owner", maintain_order=True).agg("turns")
    none = pl.Series([value is None for value in values], dtype=pl.Boolean)
    rows = pl.DataFrame({"owner": pl.Series(range(len(values)), dtype=pl.Int64), "none": none})
    joined = rows.join(grouped, on="owner", how="left", maintain_order="left")
    filled = pl.when("none").then(None).otherwise(pl.col("turns").fill_null(no_turns()))
    return joined.select(filled.alias("turns")).to_series()


def frames_of(records: Iterable[Mapping[str, Value]]) -> list[pl.DataFrame]:
    """Frames that together hold every record, one per set of agreeing column kinds."""
    groups: list[_Group] = []
    for number, record in enumerate(records, 1):
        kinds = {name: value.kind for name, value in record.items() if value.kind}
        row = {name: value.value for name, value in record.items()}
        asked = _PROMPTS & row.keys()
        group = next((group for group in groups if group.asked == asked and group.takes(kinds)), None)
        if group is None:
            group = _Group(asked)
            groups.append(group)
        group.add(kinds, row)
        # Python objects take several times the room of a column.
        if number % CHUNK == 0:
            for held in groups:
                held.flush()
    return [group.frame() for group in groups]
