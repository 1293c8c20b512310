"""What the end of a run says of its kept pairs: replies that were cut, and a model too small to judge the method by."""

from pathlib import Path

import polars as pl
import pytest

import factory
from factory.config import BUNDLED_MODEL
from factory.exports.caveats import caveats
from factory.terminal import show
from tests.factory.test_rounds import config
from tests.pairs import pair, table, user


def kept(*finished: tuple[str | None, str | None]) -> pl.LazyFrame:
    ends = [{"finish_chosen": chosen, "finish_rejected": rejected} for chosen, rejected in finished]
    return table([pair([user("Why?")], f"Since {n}.", "No.", **end) for n, end in enumerate(ends)]).lazy()


@pytest.mark.parametrize("side", [("length", "stop"), ("stop", "length"), ("length", "length"), (None, "length")])
def test_pairs_with_a_cut_reply_are_counted_once(side: tuple[str | None, str | None]) -> None:
    said = caveats("tiny", kept(side, ("stop", "stop"), (None, None)))
    assert [line.split(" kept pairs")[0] for line in said] == ["1 of 3"]


def test_nothing_is_said_where_nothing_is_cut_or_known() -> None:
    assert caveats("tiny", kept(("stop", "stop"), (None, None))) == []


def test_the_bundled_model_shows_the_process() -> None:
    assert "the process" in caveats(BUNDLED_MODEL, kept(("stop", "stop")))[-1]


def test_a_run_ends_with_them(tmp_path: Path) -> None:
    made = factory.run(config(tmp_path, {"limit": 6}, policy={"model": BUNDLED_MODEL}), tmp_path / "run")
    assert made.caveats
    assert show.outcome(made).endswith(made.caveats[-1])
    assert made.to_dict()["caveats"] == made.caveats
