"""Where the rows of a JSON document stand in it."""

from collections.abc import Mapping, Sequence
from typing import Any

from factory.readers.inputs.annotated import is_record
from factory.readers.messages import message_kind
from factory.readers.names import ASKED, KNOWN, plainly

_PROMPTS = frozenset(("prompts", "questions", "queries", "instructions"))
_ASKS = frozenset(("prompt", "question", "instruction", "messages", "conversations"))
"""Names of columns that are a prompt's in any list of objects, as a query or a problem need not be."""
_AROUND_A_ROW = {"row", "row_idx", "truncated_cells"}


def rows_in(raw: Any) -> list[Any] | None:
    """The rows of a JSON document; None where it is no table."""
    if isinstance(raw, list):
        return raw
    if not isinstance(raw, dict) or not raw:
        return None
    lists = [value for value in raw.values() if isinstance(value, list)]
    tables = [value for value in lists if value and all(isinstance(row, dict) for row in value)]
    if any(raw.get("data") is table for table in tables):
        return list(raw["data"])
    known = _known(raw)
    (nested, *others) = [value for value in raw.values() if isinstance(value, dict)] or [{}]
    if not (known or others) and "train" in nested:  # the splits under a name of their own
        return rows_in(nested)
    # DataFrame.to_json(orient="split"), before columns: it may have as many rows as columns.
    if raw.keys() == {"columns", "index", "data"} and all(isinstance(row, list) for row in raw["data"]):
        return [dict(zip(raw["columns"], row, strict=False)) for row in raw["data"]]
    if len(tables) == len(raw) and not known:  # the splits of a data set, by name
        return [row for table in tables for row in table]
    talks = all(message_kind(turn) for value in tables for turn in value)  # of one row, each a conversation
    if len(lists) == len(raw) > 1 and len({len(value) for value in lists}) == 1 and not (lists == tables and talks):
        return [dict(zip(raw, values, strict=True)) for values in zip(*lists, strict=True)]
    if not known and (rows := _under_a_name(raw, tables)):
        return rows
    # DataFrame.to_json as it comes: a column is an object from row number to cell.
    cells = [value for value in raw.values() if isinstance(value, dict)]
    if known and len(cells) == len(raw) > 1 and all(value.keys() == cells[0].keys() for value in cells):
        return [{name: value[row] for name, value in raw.items()} for row in cells[0]]  # as pandas writes a table
    return [raw] if _known(raw, 2) else None


def _known(row: Mapping[str, Any], least: int = 1) -> bool:
    return sum(plainly(name) in KNOWN for name in row) >= least


def _under_a_name(raw: Mapping[str, Any], tables: Sequence[list[Any]]) -> list[Any] | None:
    """The rows that stand in an object beside what is said of them, as a list or each under its id; None without any.

    Only where two columns are known by their names, as a manifest may hold lists of objects too.
    """
    found = [table for table in tables if all(_known(unwrapped(row), 2) for row in table)]
    if len(found) == 1:
        return found[0]
    by_id = all(isinstance(row, dict) and (_known(row, 2) or is_record(row)) for row in raw.values())
    return list(raw.values()) if by_id else None


def prompts_in(raw: Any) -> list[Any] | None:
    """The rows of a JSON document that holds prompts, and of which else no table is known; None for any other.

    A list of texts, which in an object is called prompts or the like; objects of which each names its prompt.
    """
    if not isinstance(raw, dict):
        return [{"prompt": text} for text in raw] if _texts(raw) else None
    if not {*map(plainly, raw)}.isdisjoint(ASKED):
        return None
    within = [value for value in (*raw.values(), [*raw.values()]) if isinstance(value, list) and value]
    found = [rows for rows in within if all(isinstance(row, dict) and _asks(row) for row in rows)]
    texts = (value for name, value in raw.items() if plainly(name) in _PROMPTS and _texts(value))
    found += [[{"prompt": text} for text in value] for value in texts]
    return found[0] if len(found) == 1 else None


def _texts(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(text, str) for text in value)


def _asks(row: Mapping[str, Any]) -> bool:
    # As in BIG-bench: an input alone may be anybody's, and beside its target is a question.
    return any(plainly(name) in _ASKS for name in row) or {"input", "target"} <= row.keys()


def unwrapped(raw: dict[str, Any]) -> dict[str, Any]:
    """A row that the Hub's server of rows wrote, without its number."""
    inner = raw.get("row")
    return inner if isinstance(inner, dict) and raw.keys() <= _AROUND_A_ROW else raw
