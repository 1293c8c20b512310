"""Reading holds no table of texts: rows go through while later ones have not been looked at yet."""

import threading
from collections.abc import Callable

import polars as pl
import pytest

from factory.readers import read_pairs
from factory.schema import MESSAGES

ROWS, MORSEL = 4_000, 10
SAME = [{"role": "user", "content": "Why?"}]


def table(**columns: list[object]) -> pl.DataFrame:
    base = {"chosen": [f"Because {n}." for n in range(ROWS)], "rejected": [f"Who knows {n}?" for n in range(ROWS)]}
    return pl.DataFrame({"prompt": [f"Why {n}?" for n in range(ROWS)], **base, **columns}, strict=False)


def own() -> pl.DataFrame:
    """Every other row has its neighbour's id, so that half of them get another one."""
    prompts = pl.Series("prompt", [SAME] * ROWS, dtype=MESSAGES)
    return table(pair_id=[str(n // 2) for n in range(ROWS)]).with_columns(prompts)


CASES: dict[str, tuple[Callable[[], pl.DataFrame], str]] = {
    "ids that several pairs bear": (own, "kept"),
    "a verdict in words": (lambda: table(winner=["model_a", "model_b"] * (ROWS // 2)).rename(SIDES), "kept"),
    "no prompt": (lambda: table(prompt=[""] * ROWS), "rejected"),
}
SIDES = {"chosen": "response_a", "rejected": "response_b"}


class Watch:
    """Counts the rows that go in, and knows how many had when the first one came out."""

    def __init__(self) -> None:
        self.seen, self.at_first = 0, 0
        self._lock = threading.Lock()

    def into(self, cells: pl.Series) -> pl.Series:
        with self._lock:
            self.seen += len(cells)
        return cells

    def out_of(self, cells: pl.Series) -> pl.Series:
        with self._lock:
            self.at_first = self.at_first or self.seen
        return cells


def held(rows: pl.DataFrame, made: Callable[[pl.LazyFrame], pl.LazyFrame], column: str) -> int:
    """How many rows go in before the first one comes out."""
    watch = Watch()
    first = rows.columns[-1]
    watched = pl.col(first).map_batches(watch.into, return_dtype=rows.schema[first], is_elementwise=True)
    table = made(rows.lazy().with_columns(watched))
    kind = table.collect_schema()[column]
    out = table.with_columns(pl.col(column).map_batches(watch.out_of, return_dtype=kind, is_elementwise=True))
    watch.seen = 0
    with pl.Config(streaming_chunk_size=MORSEL):
        assert out.collect(engine="streaming").height == ROWS
    return watch.at_first


@pytest.mark.parametrize("name", CASES)
def test_rows_go_through_one_after_the_other(name):
    make, which = CASES[name]
    assert 0 < held(make(), lambda rows: getattr(read_pairs(rows), which), "source") < ROWS // 2


def test_what_holds_them_all_is_seen():
    """`replace_strict` is no part of polars' streaming: it holds the table beside it until it has every cell."""
    made = held(
        table(), lambda rows: rows.with_columns(pl.col("rejected").replace_strict({"x": "y"}, default="z")), "rejected"
    )
    assert made == ROWS
