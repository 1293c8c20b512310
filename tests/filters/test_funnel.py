import json

import polars as pl
import pytest

from factory.errors import ConfigError, InputError
from factory.files.streaming import ROWS, small_morsels
from factory.schema import REJECTED, LazySplit
from filters import build, paper
from filters.base import Filter
from filters.decisions import Step
from filters.funnel import Funnel, apply, run_funnel
from filters.votes import by_pair, judges_of
from tests.filters.table import lazily, row, table, votes

BOTH = ("chosen_first", "rejected_first")


def recorded():
    """Eight pairs: 0 is of iteration 4, 1 and 2 are one, 3 is far too long, 4 is voted down; 5 to 7 are level."""
    word = "x" * 10
    return table(
        [
            row("0", "p0", word, "y" * 10, method="sso", iteration=4),
            row("1", "p1", word, "z" * 9, method="sso", iteration=1),
            row("2", "p1", word + " ", "z" * 9, method="sso", iteration=1),
            row("3", "p3", "a" * 4000, "b", method="sso", iteration=1),
            row("4", "p4", "good", "fine", method="sso", iteration=2),
            row("5", "p5", "c" * 100, "d" * 101, method="sso", iteration=2),
            row("6", "p6", "e" * 101, "f" * 100, method="pbaa", iteration=2),
            row("7", "p7", "g" * 50, "h" * 50),
        ]
    )


def all_votes(pairs, against=("4",)):
    said = dict(pairs.select("pair_id", "tag").iter_rows())
    vote = {pair: "rejected" if tag in against else "chosen" for pair, tag in said.items()}
    return votes(*((pair, "J", order, vote[pair]) for pair in said for order in BOTH))


def test_funnel_by_hand(tmp_path):
    """1 and 2 leave one, which is ahead by 1 as 6 is, and 5 is behind by 1: of the three, all stay."""
    pairs = recorded()
    unread = pl.DataFrame(
        {"filter": ["read"] * 2, "reason": ["empty", "prompts_differ"], "detail": [None, "row 9"], "chosen": ["", "?"]}
    )
    found = run_funnel(LazySplit(pairs.lazy(), unread.lazy()), build(None), all_votes(pairs), tmp_path)
    expected = {
        "input": 10,
        "steps": [
            {"filter": "read", "kept": 8, "rejected": 2, "reasons": {"empty": 1, "prompts_differ": 1}},
            {"filter": "iteration", "kept": 7, "rejected": 1, "reasons": {"iteration": 1}},
            {"filter": "duplicate", "kept": 6, "rejected": 1, "reasons": {"exact": 1}},
            {"filter": "length_gap", "kept": 5, "rejected": 1, "reasons": {"gap": 1}},
            {"filter": "judge_agrees", "kept": 4, "rejected": 1, "reasons": {"prefers_rejected": 1}},
            {"filter": "length_balance", "kept": 4, "rejected": 0, "reasons": {}},
        ],
        "kept": 4,
    }
    assert [row["name"] for row in found.confounds] == ["length"]
    assert found.said == []
    expected["confounds"] = list(found.confounds)
    assert found.to_dict() == expected == json.loads((tmp_path / "funnel.json").read_text())
    assert Funnel.read(tmp_path / "funnel.json") == found
    kept, rejected = pl.read_parquet(tmp_path / "kept.parquet"), pl.read_parquet(tmp_path / "rejected.parquet")
    assert kept.schema == pairs.schema
    assert set(kept["tag"]) - {"1", "2"} == {"5", "6", "7"}
    assert rejected.columns[:3] == ["filter", "reason", "detail"]
    assert set(rejected.columns[3:]) == set(pairs.columns)
    assert rejected.height == 6
    assert rejected.filter(pl.col("filter") == "read")["detail"].to_list() == [None, "row 9"]
    assert rejected.filter(pl.col("tag") == "4").row(0)[:3] == ("judge_agrees", "prefers_rejected", "J")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["funnel.json", "kept.parquet", "rejected.parquet"]


def test_what_form_gives_away_is_counted_over_the_kept_pairs(tmp_path):
    """Sure opens 30 chosen of the kept pairs; of the dropped ones, whose gap is too wide, it opens the rejected."""
    kept = [row(f"k{n}", f"p{n}", f"Sure, {n}", f"Well, {n}") for n in range(30)]
    dropped = [row(f"d{n}", f"d{n}", f"Well, {n}" + "x" * 50, f"Sure, {n}") for n in range(60)]
    found = run_funnel(lazily(table(kept + dropped)), build([{"use": "length_gap", "max_chars": 9}]), None, tmp_path)
    assert found.said[0].startswith("first word “Sure” in 100 % of chosen and 0 % of rejected")
    assert Funnel.read(tmp_path / "funnel.json") == found


def test_rows_come_out_as_they_came_in_and_in_their_order(tmp_path):
    pairs = recorded()
    run_funnel(lazily(pairs), build([{"use": "length_gap", "max_chars": 5}]), None, tmp_path)
    kept = pl.read_parquet(tmp_path / "kept.parquet")
    assert kept.equals(pairs.filter(pl.col("tag") != "3"))
    rejected = pl.read_parquet(tmp_path / "rejected.parquet")
    assert rejected.select(pairs.columns).equals(pairs.filter(pl.col("tag") == "3"))


def test_shuffling_the_input_keeps_the_same_pairs():
    pairs = recorded()
    judged = all_votes(pairs)
    first = apply(lazily(pairs), build(None), judged)
    for seed in range(3):
        again = apply(lazily(pairs.sample(fraction=1, shuffle=True, seed=seed)), build(None), judged)
        assert again.funnel == first.funnel
        assert set(again.kept.collect()["tag"]) == set(first.kept.collect()["tag"])


def test_flipping_every_vote_flips_who_is_kept():
    pairs = recorded().filter(~pl.col("tag").is_in(["0", "2", "3"]))
    block = build([{"use": "judge_agrees"}])
    tags = set(pairs["tag"])
    for against in (("4", "6"), tuple(tags - {"4", "6"})):
        kept = apply(lazily(pairs), block, all_votes(pairs, against)).kept.collect()
        assert set(kept["tag"]) == tags - set(against)


def test_judges_are_asked_once_and_only_about_pairs_that_are_left():
    pairs, asked = recorded(), []

    def ask(live):
        assert live.collect_schema() == pairs.schema
        asked.append(live.collect())
        return by_pair(table := all_votes(pairs), judges_of(table))

    blocks = [*paper(), {"use": "judge_agrees", "rule": "all_right"}]
    apply(lazily(pairs), build(blocks), ask)
    assert [len(frame) for frame in asked] == [5]
    assert {"4", "5", "6", "7"} < set(asked[0]["tag"])
    apply(lazily(pairs), build(paper(judged=False)), ask)
    assert len(asked) == 1


def test_votes_must_come_from_somewhere(tmp_path):
    with pytest.raises(ConfigError, match="judge_agrees needs votes: give judges, or judgments recorded earlier"):
        run_funnel(lazily(recorded()), build(None), None, tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_without_out_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = run_funnel(lazily(recorded()), build(paper(judged=False)))
    assert (found.input, found.kept, len(found.steps)) == (8, 5, 4)
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_run_left_is_swept_away(tmp_path):
    (tmp_path / ".funnel").mkdir()
    (tmp_path / ".funnel" / "kept.parquet").write_text("half a file")
    run_funnel(lazily(recorded()), build([{"use": "duplicate"}]), None, tmp_path)
    assert not (tmp_path / ".funnel").exists()


def test_no_filters_keep_all_and_no_rows_give_empty_tables(tmp_path):
    pairs = recorded()
    assert apply(lazily(pairs), ()).funnel == Funnel(8, (), 8)
    found = run_funnel(lazily(pairs.clear()), build(None), all_votes(pairs.clear()), tmp_path)
    assert (found.input, found.kept) == (0, 0)
    assert pl.read_parquet(tmp_path / "kept.parquet").is_empty()


def test_rows_rejected_by_an_earlier_stage_have_its_name():
    unread = pl.DataFrame(
        {"filter": ["triples", "read", "triples"], "reason": ["leak", "empty", "leak"], "detail": [None, None, "x"]}
    )
    found = apply(LazySplit(recorded().lazy(), unread.lazy()), ()).funnel
    assert found == Funnel(11, (Step("read", 10, 1, {"empty": 1}), Step("triples", 8, 2, {"leak": 2})), 8)


def test_flags_are_counted_and_go_with_the_pair(tmp_path):
    (tmp_path / "bench.txt").write_text("one two three four five six seven eight nine ten\n")
    flagged = "a one two three four five six seven b"
    pairs = table([row("flagged", flagged), row("flagged and dropped", flagged, chosen="z" * 50), row("clean")])
    blocks = [{"use": "decontaminate", "files": [str(tmp_path / "bench.txt")]}, {"use": "length_gap", "max_chars": 9}]
    found = apply(lazily(pairs), build(blocks))
    assert found.funnel.to_dict()["steps"][0] == {
        "filter": "decontaminate",
        "kept": 3,
        "rejected": 0,
        "reasons": {},
        "flagged": 2,
        "flags": {"7_gram": 2},
    }
    kept, rejected = found.kept.collect(), found.rejected.collect()
    assert kept.filter(pl.col("flags").is_not_null())["tag"].to_list() == ["flagged"]
    assert rejected["detail"].to_list() == ["47 characters"]
    assert Funnel.from_dict(found.funnel.to_dict()) == found.funnel


def test_two_filters_of_one_name_are_two_steps():
    blocks = [{"use": "length_gap", "max_chars": 3999}, {"use": "length_gap", "max_chars": 3}]
    steps = apply(lazily(recorded()), build(blocks)).funnel.steps
    assert [(step.filter, step.kept) for step in steps] == [("length_gap", 8), ("length_gap", 7)]


def test_a_column_that_is_missing_is_named():
    with pytest.raises(InputError, match="the column chosen is missing"):
        apply(lazily(recorded().drop("chosen")), build(paper(judged=False)))


def test_pairs_that_change_between_the_passes_are_noticed(tmp_path):
    """They turn around while the judges are asked, which is between the first pass and the others."""
    pairs, turned = recorded(), []
    source = pairs.lazy().map_batches(lambda frame: frame.reverse() if turned else frame, schema=pairs.schema)

    def ask(live):
        turned.append(True)
        return by_pair(table := all_votes(pairs), judges_of(table))

    with pytest.raises(InputError, match="the pairs changed while they were filtered"):
        run_funnel(LazySplit(source, REJECTED.empty().lazy()), build(None), ask, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_breaks_while_it_is_read_is_an_input_error(tmp_path):
    path = tmp_path / "pairs.ndjson"
    path.write_text(
        '{"pair_id": "a", "prompt_id": "b", "prompt": [{"role": "user", "content": "x"}], "chosen": "c", "rejec'
    )
    with pytest.raises(InputError, match="the pairs cannot be read"):
        run_funnel(
            LazySplit(pl.scan_ndjson(path, schema=recorded().schema), REJECTED.empty().lazy()),
            (),
            None,
            tmp_path / "out",
        )


def test_a_rejected_table_can_be_filtered_again():
    """Its columns filter, reason and detail make room for the new ones."""
    first = apply(lazily(recorded()), build([{"use": "length_gap", "max_chars": 0}]))
    again = apply(lazily(first.rejected.collect()), build([{"use": "length_gap", "max_chars": 5}])).rejected.collect()
    assert again.columns.count("reason") == 1
    assert again["detail"].to_list() == ["3999 characters"]


def test_the_funnel_has_4000_rows_in_hand_also_where_others_have_fewer(tmp_path):
    sizes = []

    def watch(cells):
        sizes.append(len(cells))
        return cells

    pairs = pl.concat([recorded()] * 4_000).lazy()
    seen = pairs.with_columns(pl.col("chosen").map_batches(watch, return_dtype=pl.String, is_elementwise=True))
    with small_morsels():
        run_funnel(LazySplit(seen, REJECTED.empty().lazy()), build([{"use": "length_gap"}]), None, tmp_path)
    assert ROWS < max(sizes) <= 4_000


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ([], "gives no column reason"),
        ([pl.lit(None).alias("reason")], "gives 1 of 2 pairs"),
        ([pl.col("nowhere").alias("reason")], "asks for a column that no pair has: .*nowhere"),
    ],
)
def test_a_filter_of_another_package_that_gives_no_decision_on_every_pair_is_refused(more, said):
    """One that leaves rows out, as a frame is filtered elsewhere, would keep them all."""

    class Few(Filter):
        name = "few"

        def reason(self, rows):
            return rows.filter(pl.col("row") < 1).with_columns(more)

    with pytest.raises(ConfigError, match=f"the filter few {said}"):
        apply(lazily(table([row("a"), row("b")])), [Few()])
