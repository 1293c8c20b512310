"""The pairs that the report lets one read."""

import random
from pathlib import Path

import polars as pl

from factory.exports.report import report_html
from factory.exports.report.pairs import LONGEST, ROOMS, Room, packed_pairs, reader_pairs
from tests.report_page import Page, data
from tests.runs import NASTY, run_folder

FEW = Room(kept=20, rejected=20)


def test_the_reader_has_kept_and_rejected_pairs_and_every_reason(run: Path) -> None:
    pairs = reader_pairs(run, 42, FEW)
    kept = [pair for pair in pairs if "filter" not in pair]
    assert (len(kept), len(pairs)) == (20, 40)
    reasons = set(pl.read_parquet(run / "filtered/rejected.parquet")["reason"])
    assert {pair["reason"] for pair in pairs if "filter" in pair} == reasons
    assert reader_pairs(run, 42, FEW) == pairs
    assert reader_pairs(run, 43, FEW) != pairs
    assert any(NASTY[:20] in pair["rejected"] for pair in reader_pairs(run, 42))
    votes = [vote for pair in pairs for vote in pair["votes"]]
    assert {vote["judge"] for vote in votes} == {"judge-large", "judge-small"}


def test_few_pairs_are_all_shown(run: Path) -> None:
    rows = sum(pl.read_parquet(run / f"filtered/{name}.parquet").height for name in ("kept", "rejected"))
    assert len(reader_pairs(run, 42)) == rows


def test_long_texts_are_cut_and_say_so(tmp_path: Path) -> None:
    run = run_folder(tmp_path / "demo", prompts=20)
    path = run / "filtered/kept.parquet"
    pl.read_parquet(path).with_columns(chosen=pl.lit("x" * (LONGEST + 5))).write_parquet(path)
    chosen = next(pair["chosen"] for pair in reader_pairs(run, 42) if "filter" not in pair)
    assert chosen == f"{'x' * LONGEST} … ({LONGEST + 5} characters)"


def test_a_reply_s_characters_are_those_of_the_table_whatever_is_carried_of_it(tmp_path: Path) -> None:
    run = run_folder(tmp_path / "demo", prompts=20)
    path = run / "filtered/kept.parquet"
    texts = {"chosen": "😀" * (LONGEST + 5), "rejected": "é😀x"}
    pl.read_parquet(path).with_columns(pl.lit(text).alias(name) for name, text in texts.items()).write_parquet(path)
    pair = next(pair for pair in reader_pairs(run, 42) if "filter" not in pair)
    assert {name: pair["sizes"][name] for name in texts} == {"chosen": LONGEST + 5, "rejected": 3}


def many(root: Path, count: int, length: int) -> pl.DataFrame:
    """A folder with `count` kept pairs, each with a prompt and replies of its own of about `length` characters."""
    words = [first + last for first in ("al", "be", "co", "di", "en", "fo") for last in ("no", "ra", "sting", "ver")]
    draws = random.Random(count)
    rows = [
        {
            "pair_id": f"{number:032x}",
            "prompt": [{"role": "user", "content": f"Question {number}?"}],
            **{name: " ".join(draws.choices(words, k=length // 6)) for name in ("chosen", "rejected")},
            "original": f"Reply {number}.",
            "system_good": "Be good.",
            "system_bad": "Be bad.",
        }
        for number in range(count)
    ]
    (root / "filtered").mkdir(parents=True)
    frame = pl.DataFrame(rows)
    frame.write_parquet(root / "filtered/kept.parquet")
    return frame


def test_all_of_5000_kept_pairs_are_in_a_page_below_10_mb(tmp_path: Path) -> None:
    frame = many(tmp_path, 5_200, 240)
    text = report_html(tmp_path)
    index, pairs = data(Page(text))
    assert {pair["pair_id"] for pair in pairs} == set(frame["pair_id"])
    assert [pair["pair_id"] for pair in pairs] == [pair["pair_id"] for pair in index["pairs"]]
    assert len(text.encode()) < 10_000_000
    assert index["systems"] == ["Be good.", "Be bad."]
    assert {(pair["system_good"], pair["system_bad"]) for pair in pairs} == {(0, 1)}
    assert "All 5,200 kept and all 0 rejected pairs." in text


def test_what_does_not_fit_is_cut_before_a_pair_is_left_out(tmp_path: Path) -> None:
    """Of 100 pairs: whole first, then without y°, then with shorter texts, at last fewer; the page says which."""
    many(tmp_path, 100, 5_000)
    whole = packed_pairs(tmp_path, 1)
    assert whole.room == ROOMS[0]
    cut = [(budget, packed_pairs(tmp_path, 1, budget)) for budget in (int(whole.size * share) for share in (0.7, 0.3))]
    assert whole.room.longest > cut[0][1].room.longest > cut[1][1].room.longest
    for budget, packed in cut:
        assert packed.size <= budget
        assert len(packed.pairs) == 100
        assert not packed.room.original
    assert packed_pairs(tmp_path, 1, 1_000).room == ROOMS[-1]
    assert packed_pairs(tmp_path / "nothing", 1) is None


def test_rows_rejected_on_reading_are_shown_as_they_came(tmp_path: Path) -> None:
    run = run_folder(tmp_path / "demo", prompts=20)
    path = run / "filtered/rejected.parquet"
    row = pl.DataFrame({"filter": ["read"], "reason": ["no_reply"], "row": ['{"chosen": ""}']})
    pl.concat([pl.read_parquet(path), row], how="diagonal").write_parquet(path)
    found = next(pair for pair in reader_pairs(run, 42) if pair.get("reason") == "no_reply")
    assert found == {"filter": "read", "reason": "no_reply", "row": '{"chosen": ""}', "votes": []}


def test_a_rare_reason_is_shown_among_many_common_ones(run: Path, tmp_path: Path) -> None:
    frame = pl.read_parquet(run / "filtered/rejected.parquet").drop("reason")
    reasons = ["common"] * (len(frame) - 1) + ["rare"]
    (tmp_path / "filtered").mkdir()
    frame.with_columns(reason=pl.Series(reasons)).write_parquet(tmp_path / "filtered/rejected.parquet")
    for seed in range(5):
        assert [pair["reason"] for pair in reader_pairs(tmp_path, seed, Room(rejected=6))].count("rare") == 1
