"""Checking anyone's file against a format: which row breaks which rule of which consumer."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from factory.errors import ConfigError, InputError
from factory.exports.check.rule_parts import Problem
from factory.exports.check.rules import FORMAT_RULES, folder_problems, rules_for
from factory.files import PathLike
from factory.files.rows import rows


class Checked(NamedTuple):
    """The outcome of a check."""

    rows: int
    problems: list[Problem]
    """The first ones found."""
    broken: int
    """Rows that break a rule, listed or not."""


def check(path: PathLike, format: str, most: int = 20, *, keep_system: bool = False) -> Checked:
    """Check every row of a file or folder against the rules of `format`; list at most `most` problems.

    With `keep_system` conversations of `rm` may begin with a system message. Raises ConfigError for a format without
    rules, and InputError for a file that cannot be read or has no row.
    """
    if format not in FORMAT_RULES:
        raise ConfigError(f"there is no check for the format {format!r}; there is one for {', '.join(FORMAT_RULES)}")
    where = Path(path)
    problems = list(folder_problems(where, format))
    broken = len(problems)
    seen = 0
    for row in rows(where):
        seen += 1
        # The first alone: a rule may take for granted what those before it ask.
        found = next(_broken(row.cells, format, keep_system), None)
        if found is not None:
            broken += 1
            if len(problems) < most:
                problems.append(Problem(row.file, row.number, *found))
    if not seen:
        raise InputError(f"{where} has no row")
    return Checked(seen, problems, broken)


def _broken(cells: object, format: str, keep_system: bool) -> Iterator[tuple[str, str]]:
    if not isinstance(cells, dict):
        yield "a row is an object with named columns", f"the row is {type(cells).__name__}"
        return
    for rule in rules_for(format, cells, keep_system=keep_system):
        found = rule.broken(cells)
        if found is not None:
            yield rule.text, found


def require(path: PathLike, format: str, *, keep_system: bool = False) -> int:
    """The number of rows of a file that keeps every rule; InputError naming the first row and rule that is broken."""
    result = check(path, format, most=1, keep_system=keep_system)
    if result.problems:
        more = f" ({result.broken} of {result.rows} rows break a rule)" if result.broken > 1 else ""
        raise InputError(f"{result.problems[0]}{more}")
    return result.rows
