"""What is written, where, and what load_dataset makes of it."""

import itertools
import random
from pathlib import Path

import datasets
import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest

from factory.config import Export
from factory.errors import ConfigError, InputError
from factory.exports import EXPORTERS, exporter
from factory.exports.base import RESERVED
from factory.exports.card.facts import card_facts
from factory.exports.destinations import shards
from factory.exports.destinations.plan import held_out
from factory.exports.destinations.write import export
from factory.store.ownership import RECORD
from tests.exported import loaded, rows
from tests.heard import Heard
from tests.pairs import assistant, pair, pairs, table, user

FEW = Export(test_share=0.25, shard_rows=1000)


@pytest.fixture(autouse=True)
def _quiet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    datasets.disable_progress_bars()


@pytest.mark.parametrize("name", EXPORTERS)
class TestEveryFormat:
    """Laws that hold for each format, also for one added later."""

    def test_loads_with_both_splits_and_no_prompt_in_both(self, name: str, tmp_path: Path) -> None:
        done = export(pairs(40), name, tmp_path / "out", FEW)
        found = loaded(tmp_path / "out", tmp_path / "cache")
        assert {split: len(part) for split, part in found.items()} == done.rows
        assert set(done.rows) == {"train", "test"}
        train, test = (set(found[split]["prompt_id"]) for split in ("train", "test"))
        assert train
        assert test
        assert not train & test

    def test_holds_out_the_same_prompts_in_every_format(self, name: str, tmp_path: Path) -> None:
        frame = pairs(40)
        export(frame, name, tmp_path / "out", FEW, seed=7)
        test = {row["prompt_id"] for row in rows(tmp_path / "out", tmp_path, "test")}
        assert test <= set(held_out(frame["prompt_id"], 0.25, 7))

    def test_every_pair_is_written_left_out_or_set_aside(self, name: str, tmp_path: Path) -> None:
        odd = table([pair([user("a"), user("b")], "x", "y"), pair([user("a"), assistant("b")], "x", "y")])
        done = export(pl.concat([pairs(20), odd], how="diagonal"), name, tmp_path / "out", FEW)
        each = 2 if exporter(name).apart else 1
        assert sum(done.rows.values()) / each + sum(done.left_out.values()) + done.set_aside == 42
        assert card_facts(done, name).pairs.pairs == sum(done.rows.values()) / each

    def test_gives_the_same_bytes_twice_and_from_a_lazy_frame(self, name: str, tmp_path: Path) -> None:
        frame = pairs(30)
        frame.write_parquet(tmp_path / "in.parquet")
        for folder, source in (("a", frame), ("b", pl.scan_parquet(tmp_path / "in.parquet"))):
            export(source, name, tmp_path / folder, Export(shard_rows=7))
        a, b = ({p.relative_to(tmp_path / f): p.read_bytes() for p in (tmp_path / f).rglob("*.*")} for f in "ab")
        assert len(a) > 4
        assert a == b

    def test_no_column_is_called_what_a_trainer_reads_by_accident(self, name: str, tmp_path: Path) -> None:
        taken = {"margin": 0.5, "tools": "none", "messages": "m", "question": "q", "extra_margin": 1, "mine": "kept"}
        said = Heard()
        done = export(pairs(10, **taken), name, tmp_path / "out", FEW, progress=said)
        columns = set(rows(tmp_path / "out", tmp_path)[0])
        assert {"extra_extra_margin", "extra_margin", "extra_tools", "extra_messages", "extra_question"} <= columns
        assert "mine" in columns
        assert columns & RESERVED <= {"prompt", "system", "input", "instruction", "history", "completion", "label"}
        assert columns & RESERVED <= set(exporter(name).fields)
        assert done.renamed["margin"] == "extra_extra_margin"
        assert any("your column margin is written as extra_extra_margin" in line for line in said.lines)

    def test_files_of_an_earlier_export_are_gone_and_others_stay(self, name: str, tmp_path: Path) -> None:
        out = tmp_path / "out"
        many = export(pairs(40), name, out, Export(shard_rows=5, test_share=0.25))
        (out / "notes.txt").write_text("mine")
        few = export(pairs(10), name, out, Export(test_share=0))
        there = {path for path in out.rglob("*") if path.is_file()}
        assert there == {*few.files, out / "notes.txt", out / RECORD}
        assert len(many.files) > len(few.files)
        assert len(rows(out, tmp_path)) == few.rows["train"]

    def test_one_prompt_is_never_held_out(self, name: str, tmp_path: Path) -> None:
        said = Heard()
        done = export(pairs(2).tail(2), name, tmp_path / "out", Export(test_share=0.999), progress=said)
        assert set(done.rows) == {"train"}
        assert any("too few prompts for a test split" in line for line in said.lines)
        assert set(loaded(tmp_path / "out", tmp_path / "cache")) == {"train"}

    def test_no_pairs_is_an_error_that_says_so(self, name: str, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="no pair to export"):
            export(pairs(0 + 1).clear(), name, tmp_path / "out")
        assert not (tmp_path / "out").exists()

    def test_odd_texts_survive(self, name: str, tmp_path: Path) -> None:
        odd = 'quote " back\\slash\nnew line\u2028 <|im_end|> ünïcödé \u0000 {{ x }}'
        export(table([pair([user(odd)], odd + "a", odd + "b", system_good=odd)]), name, tmp_path / "out")
        row = rows(tmp_path / "out", tmp_path)[0]
        said = str([row[field] for field in exporter(name).fields])
        assert repr(odd + "a")[1:-1] in said or repr(odd)[1:-1] in said
        assert "�" not in said


def new_bytes(old: bytes, new: bytes, mean: int = 1 << 14, window: int = 48) -> int:
    """Bytes of `new` outside the pieces that it shares with `old`, cut where a hash of the last bytes says.

    So the Hub's storage does, though with a hash of its own.
    """

    def pieces(data: bytes) -> list[bytes]:
        letters = np.frombuffer(data, np.uint8).astype(np.uint64) + np.uint64(1)
        odd = 0x9E3779B97F4A7C15
        with np.errstate(over="ignore"):
            powers = np.cumprod(np.full(len(letters), odd, np.uint64))
            undone = np.cumprod(np.full(len(letters), pow(odd, -1, 1 << 64), np.uint64))
            sums = np.concatenate([np.zeros(1, np.uint64), np.cumsum(letters * powers)])
            hashes = (sums[window:] - sums[:-window]) * undone[: len(sums) - window]
        ends = np.flatnonzero((hashes >> np.uint64(32)) % np.uint64(mean) == 0) + window
        edges = [0, *ends.tolist(), len(data)]
        return [data[start:end] for start, end in itertools.pairwise(edges)]

    known = set(pieces(old))
    return sum(len(piece) for piece in pieces(new) if piece not in known)


def test_an_export_without_its_first_rows_shares_most_of_its_bytes(tmp_path: Path) -> None:
    """3,000 pairs of random letters, 5 MB as they lie: all but the first 2 % again is less than half new."""
    draws = random.Random(0)
    texts = [[draws.randbytes(750).hex() for _ in "cr"] for _ in range(3000)]
    frame = table([pair([user(f"q {n}")], chosen, rejected) for n, (chosen, rejected) in enumerate(texts)])
    for name, part in (("old", frame), ("new", frame.slice(60))):
        export(part, "rm", tmp_path / name, Export(test_share=0))
    old, new = ((tmp_path / name / "data/train-00000-of-00001.parquet").read_bytes() for name in ("old", "new"))
    assert len(new) > 4 << 20
    assert new_bytes(old, new) < len(new) / 2
    assert new_bytes(old, old) == 0


def test_a_row_group_is_full_by_rows_or_bytes_and_the_same_whatever_the_batches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shards, "SLICE", 10)
    monkeypatch.setattr(shards, "ROW_GROUP", 40)
    frame = pl.DataFrame({"a": [f"{n:03d}" for n in range(95)]})
    for name, cut, most in (("one", 95, 1 << 20), ("many", 7, 1 << 20), ("heavy", 95, 100)):
        monkeypatch.setattr(shards, "GROUP_BYTES", most)
        sink = shards.ParquetSink(tmp_path / name, frame.schema)
        for start in range(0, 95, cut):
            sink.write(frame[start : start + cut])
        sink.close()
    read = {name: pq.ParquetFile(tmp_path / name).metadata for name in ("one", "many", "heavy")}
    sizes = {name: [one.row_group(at).num_rows for at in range(one.num_row_groups)] for name, one in read.items()}
    assert sizes["one"] == sizes["many"] == [40, 40, 15]
    assert len(sizes["heavy"]) > 3
    assert (tmp_path / "one").read_bytes() == (tmp_path / "many").read_bytes()
    assert pl.read_parquet(tmp_path / "heavy").equals(frame)


def test_shards_are_full_and_types_are_plain(tmp_path: Path) -> None:
    table = pairs(25).with_columns(mark=pl.lit(b"\xff"))
    done = export(table, "rm", tmp_path / "out", Export(shard_rows=20, test_share=0))
    names = [path.name for path in done.files if path.suffix == ".parquet"]
    assert names == [f"train-{n:05d}-of-00003.parquet" for n in range(3)]
    assert [len(pl.read_parquet(tmp_path / "out" / "data" / name)) for name in names] == [20, 20, 10]
    kinds = loaded(tmp_path / "out", tmp_path / "cache")["train"].features
    assert kinds["chosen"] == datasets.List({"role": datasets.Value("string"), "content": datasets.Value("string")})
    assert (kinds["source"], kinds["mark"]) == (datasets.Value("string"), datasets.Value("binary"))


def test_rows_keep_the_order_of_the_table(tmp_path: Path) -> None:
    frame = pairs(300)
    export(frame, "pairs", tmp_path / "out", Export(test_share=0))
    assert [row["pair_id"] for row in rows(tmp_path / "out", tmp_path)] == frame["pair_id"].to_list()


def test_more_prompts_never_move_a_prompt_between_splits() -> None:
    """The draw of a prompt depends on seed and prompt alone; a quarter of 2,000 is 500, give or take 4 sigma (78)."""
    ids = pl.Series([f"{n:032x}" for n in range(2000)])
    few, many = set(held_out(ids.head(100), 0.25, 1)), set(held_out(ids, 0.25, 1))
    assert few == many & set(ids.head(100))
    assert abs(len(many) - 500) < 78
    assert many != set(held_out(ids, 0.25, 2))


def test_a_readme_that_somebody_wrote_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("mine")
    export(pairs(4), "rm", tmp_path)
    assert (tmp_path / "README.md").read_text() == "mine"


def test_an_unknown_format_names_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="rm, dpo, sso"):
        export(pairs(1), "parquet", tmp_path)


def test_a_table_that_is_not_of_pairs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="pair_id"):
        export(pl.DataFrame({"prompt": ["a"]}), "rm", tmp_path)
    with pytest.raises(InputError, match="load_pairs"):
        export(pairs(1).with_columns(prompt=pl.lit("a")), "rm", tmp_path)
