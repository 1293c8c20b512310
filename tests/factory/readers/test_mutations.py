"""A file whose columns are moved about or called otherwise gives the same pairs or is refused; never other pairs."""

import json

import pytest

from factory.errors import InputError
from factory.readers import read_pairs
from tests.factory.readers.test_layouts import CASES, TALK, flat, turns_for

OPTIONAL = {"system", "history", "messages", "score_chosen"}
"""What a pair may go without: called otherwise, such a column is carried along, and the reading says so."""
ALIKE = "Sure, here is one:\n\n"
"""What both replies begin with, as if it were a prompt."""


def rows_of(case):
    turns = turns_for(case, TALK)
    talks = [[*turns[:-1], {**turns[-1], "content": f"{turns[-1]['content']} Say it {n} times."}] for n in range(3)]
    return flat(case.row(talk, f"{ALIKE}Good {'o' * n}.", f"{ALIKE}Bad {n}!") for n, talk in enumerate(talks))


def pairs(rows, path):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    kept = read_pairs(path).kept.select("prompt", "chosen", "rejected").collect()
    return sorted(kept.to_dicts(), key=lambda pair: pair["rejected"])


@pytest.mark.parametrize("name", [name for name in CASES if name != "shared text"])
def test_the_order_of_columns_does_not_matter(name, tmp_path):
    rows = rows_of(CASES[name])
    turned = [dict(reversed(row.items())) for row in rows]
    assert pairs(turned, tmp_path / "x.jsonl") == pairs(rows, tmp_path / "x.jsonl")


@pytest.mark.parametrize("name", [name for name in CASES if name != "shared text"])
def test_a_column_of_unknown_name_gives_the_same_pairs_or_none(name, tmp_path):
    rows = rows_of(CASES[name])
    right = pairs(rows, tmp_path / "x.jsonl")
    assert len(right) == 3
    for column in {column for row in rows for column in row} - (OPTIONAL if name != "ending" else set()):
        changed = [{("zzz" if key == column else key): value for key, value in row.items()} for row in rows]
        try:
            got = pairs(changed, tmp_path / "x.jsonl")
        except InputError:
            continue
        assert got in (right, []), (column, got)
