"""What streams keeps little in hand: small morsels, and rows picked out of many hold no texts but their own."""

import ctypes
import re
import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import factory
from factory.exports.destinations.shards import SLICE, ParquetSink
from factory.files.streaming import AHEAD, GROUPS_AHEAD, ROWS, compact, few, give_back, height, small_morsels
from filters.confounds import _drawn

MANY, LONG, EVERY = 2_000, 500, 100


def held(frame: pl.DataFrame) -> int:
    """Bytes that the frame keeps alive, whatever it shows of them."""
    columns = [column.to_arrow(compat_level=pl.CompatLevel.newest()) for column in frame]
    return sum(buffer.size for column in columns for buffer in column.buffers() if buffer is not None)


@pytest.fixture
def pairs() -> pl.LazyFrame:
    texts = [f"{n:06d}" + "x" * LONG for n in range(MANY)]
    turns = [[{"role": "user", "content": text}] for text in texts]
    return pl.LazyFrame({"pair_id": [text[:6] for text in texts], "prompt": turns, "chosen": texts, "rejected": texts})


def picked(pairs: pl.LazyFrame) -> pl.LazyFrame:
    return pairs.filter(pl.col("pair_id").str.to_integer() % EVERY == 0)


@pytest.mark.parametrize("rows", [0, 1, MANY])
def test_rows_of_a_plan_are_counted_rightly(rows: int, pairs: pl.LazyFrame) -> None:
    assert height(pairs.head(rows)) == rows
    assert height(picked(pairs.head(rows))) == -(-rows // EVERY)


def test_rows_picked_out_of_many_hold_their_own_texts_alone(pairs: pl.LazyFrame) -> None:
    found, plain = few(picked(pairs)), picked(pairs).collect()
    assert found.equals(plain)
    assert found.height == MANY // EVERY
    own = found.height * 3 * LONG
    assert held(plain) > 10 * own, "else there is nothing to copy, and this test sees nothing"
    assert held(found) < 3 * own


def test_the_pairs_that_confounds_are_told_from_hold_no_others(pairs: pl.LazyFrame) -> None:
    found = _drawn(pairs, MANY // EVERY).collect()
    assert 0 < held(found) < 6 * found.height * LONG


def test_the_rows_of_an_export_that_wait_for_a_full_group_hold_no_others(pairs: pl.LazyFrame, tmp_path: Path) -> None:
    """Those of a small split come a few at a time, out of batches that hold all others of a large one."""
    few_rows = picked(pairs).collect()
    assert few_rows.height < SLICE
    sink = ParquetSink(tmp_path / "test", few_rows.schema)
    sink.write(few_rows)
    assert 0 < held(sink._buffer) < 6 * few_rows.height * LONG < held(few_rows)
    sink.close()
    assert pl.read_parquet(tmp_path / "test").equals(few_rows)


@pytest.mark.parametrize(
    "column",
    [
        pl.Series(["a", None, "", "c" * 99]),
        pl.Series([b"a", None, b"", b"c" * 99]),
        pl.Series([[{"t": "a" * 99, "n": 1}], None, [], [{"t": None, "n": None}]]),
        pl.Series([["a", "b"], None, ["c", None], ["d", "e"]], dtype=pl.Array(pl.String, 2)),
        pl.Series(["a", "b", None, "a"], dtype=pl.Enum(["b", "a"])),
        pl.Series(["a", "b", None, "a"], dtype=pl.Categorical),
        pl.Series([1, 2, 3, None], dtype=pl.Int128),
        pl.Series(
            [{"t": "a", "n": 1}, None, {"t": None, "n": 2}, None], dtype=pl.Struct({"t": pl.String, "n": pl.Int128})
        ),
        pl.Series(["1.10", None, "2", "3"]).cast(pl.Decimal(20, 3)),
        pl.Series([1, 2, 3, None]).cast(pl.Datetime("ns", "UTC")),
        pl.Series([None] * 4),
    ],
    ids=lambda column: str(column.dtype),
)
def test_every_kind_of_column_comes_through_as_it_was(column: pl.Series) -> None:
    frame = pl.DataFrame({"x": column, "text": ["a", "b", None, "d"]})
    found = compact(frame.lazy()).collect(engine="streaming")
    assert found.schema == frame.schema
    assert found.equals(frame)
    assert compact(frame.lazy()).select("x").collect().equals(frame.select("x"))


def largest() -> int:
    """Rows of the largest morsel of a table that streams now."""
    sizes: list[int] = []

    def watch(cells: pl.Series) -> pl.Series:
        sizes.append(len(cells))
        return cells

    rows = pl.LazyFrame({"a": range(20 * ROWS)})
    rows.select(pl.col("a").map_batches(watch, is_elementwise=True)).collect(engine="streaming")
    return max(sizes)


def test_morsels_are_small_within_and_as_they_were_after() -> None:
    before = largest()
    with small_morsels():
        assert largest() <= ROWS < before
    assert largest() == before


def ahead(path: Path, capfd: pytest.CaptureFixture[str]) -> str:
    """What polars says of the row groups that it reads ahead."""
    with pl.Config(verbose=True):
        pl.scan_parquet(path).collect(engine="streaming")
    return re.findall(r"prefetch_limit: (\d+)", capfd.readouterr().err)[0]


def test_few_row_groups_are_read_ahead_within_unless_somebody_said_otherwise(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(AHEAD, raising=False)
    path = tmp_path / "a.parquet"
    pl.DataFrame({"a": range(10)}).write_parquet(path)
    before = ahead(path, capfd)
    with small_morsels():
        with small_morsels():
            pass
        assert ahead(path, capfd) == GROUPS_AHEAD != before
    assert ahead(path, capfd) == before
    monkeypatch.setenv(AHEAD, "3")
    with small_morsels():
        assert ahead(path, capfd) == "3"
    assert ahead(path, capfd) == "3"


PAIRS = pl.DataFrame({"prompt": ["q"], "chosen": ["a"], "rejected": ["b"]})
COMMANDS: dict[str, Callable[[Path], Any]] = {
    "run": lambda out: factory.run({"engine": "scripted", "prompts": str(out)}, out),
    "filter": lambda out: factory.filter(PAIRS, out / "out"),
    "audit": lambda out: factory.audit(PAIRS, out=out / "out", judge="J"),
    "export": lambda out: factory.export(PAIRS, "rm", out / "out"),
}
EARLY = {
    "run": "pipeline.preflight",
    "filter": "commands.filter.require_apart",
    "audit": "commands.audit.require_apart",
    "export": "commands.export.require_apart",
}
"""What each calls before it reads anything."""


@pytest.mark.parametrize("name", COMMANDS)
def test_commands_that_read_tables_of_texts_stream_small_morsels(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class ReachedError(Exception):
        pass

    seen: list[int] = []

    def reached(*_: object, **__: object) -> None:
        seen.append(largest())
        raise ReachedError

    monkeypatch.setattr(f"factory.{EARLY[name]}", reached)
    with pytest.raises(ReachedError):
        COMMANDS[name](tmp_path)
    assert seen[0] <= ROWS


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="another libc decides by itself")
def test_what_python_has_freed_goes_back_to_the_system() -> None:
    """Of 200,000 texts of 1,000 characters every hundredth is still in use; glibc keeps the holes between them."""
    texts = ["x" * 1_000 + str(n) for n in range(200_000)]
    left = texts[::100]
    del texts
    before = resident()
    give_back()
    assert before - resident() > 100e6
    assert len(left) == 2_000


def resident() -> int:
    """Bytes of this process that lie in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
