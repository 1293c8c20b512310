"""filter with judges: what it says of them and of the pairs they kept, what it asks for that, and old folders."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import filters as registry
from factory.commands.filter import filter_into, filter_pairs
from factory.config import FiltersConfig, Judge
from factory.engines.base import Completion, Request
from factory.identity import Messages, digest
from factory.readers.pairs import read_pairs
from factory.schema import JUDGMENTS, ORDERS, REJECTED, REPLIES, LazySplit
from factory.stages import STAGES
from factory.stages.asked_models import judge_fingerprint
from factory.stages.judge import JudgeWithEngine
from factory.stages.quality import Quality
from factory.terminal import show
from filters.funnel import Funnel
from filters.votes import decide, first_order
from tests.heard import Heard

STEPS = [{"use": "judge_agrees"}]


def pairs(count: int) -> pl.DataFrame:
    """Pairs whose chosen is the longer reply in one of four."""
    rows = [
        {"prompt": f"q{n}", "chosen": "c" * (9 if n % 4 == 0 else 1), "rejected": f"r{n % 10}"} for n in range(count)
    ]
    return pl.DataFrame(rows)


def script(folder: Path, *texts: str) -> dict[str, str]:
    """An engine that gives these answers, over and over."""
    path = folder / "script.jsonl"
    path.write_text("".join(json.dumps({"text": texts[n % len(texts)]}) + "\n" for n in range(2000)))
    return {"kind": "scripted", "script": str(path)}


def filtered(folder: Path, count: int, engine: Any = "scripted", **judge: Any) -> tuple[Funnel, pl.DataFrame]:
    config = {"filters": STEPS, "judges": [{"name": "J", "engine": engine, **judge}]}
    found = filter_pairs(pairs(count), folder / "out", config=config)
    assert Funnel.read(folder / "out/funnel.json") == found
    return found, pl.read_parquet(folder / "out/judgments.parquet")


def test_a_judge_that_always_answers_the_second_slot_is_called_worthless(tmp_path: Path) -> None:
    found, votes = filtered(tmp_path, 30, script(tmp_path, "M"))
    assert found.kept == 30, "no verdict of it can drop a pair"
    assert found.more["judge_agrees"] == {"kept": 30, "right": 0, "unsure": 30, "wrong": 0, "once": 0, "unread": 0}
    (quality,) = found.more["quality"]["judges"]
    assert (quality["sampled"], quality["n"], quality["agreement"]) == (30, 30, 0.0)
    assert votes.height == 60
    first = show.funnel(found).splitlines()[0]
    assert first.startswith("J follows the slot: 30 of 30 first votes went to the reply shown second (p = ")
    assert first.endswith("its votes decide nothing; both orders were asked of all")


def test_what_a_sound_judge_says_of_the_pairs_it_kept(tmp_path: Path) -> None:
    """400 pairs; 50 kept ones are judged in both orders, and what was asked before is not asked again."""
    found, votes = filtered(tmp_path, 400, kept_sample=50, full_share=0.0)
    bare, bare_votes = filtered(tmp_path / "bare", 400, kept_sample=0, full_share=0.0)
    assert (found.steps, found.kept) == (bare.steps, bare.kept)
    assert 0 < votes.height - bare_votes.height <= 50
    assert bare_votes.join(votes, on=list(JUDGMENTS.columns), how="anti", nulls_equal=True).is_empty()
    assert bare.more["quality"]["judges"] == []
    (quality,) = found.more["quality"]["judges"]
    assert (quality["sampled"], quality["n"], quality["wrong"]) == (50, 50, 0)
    assert quality["low"] < quality["agreement"] < quality["high"]
    assert found.more["quality"]["once"] == bare.more["judge_agrees"]["once"] > 100
    text = show.funnel(found)
    once = found.more["quality"]["once"]
    assert text.startswith(f"{found.kept} pairs kept, {once} of them on a single vote of some judge; chosen is ")
    assert "J agrees with" in text.splitlines()[1]
    assert "accura" not in text
    nothing = {"kept": 1, "once": 0, "unequal": 0, "longer_chosen": 0, "judges": [quality | {"n": 0}]}
    assert Quality.model_validate(nothing).lines == [
        "1 pair kept",
        "J gave no verdict on the kept pairs that was asked for, and can be read, in both orders",
    ]


def test_the_sample_is_drawn_by_seed_and_goes_on_where_it_stopped(tmp_path: Path) -> None:
    config = {"filters": STEPS, "judges": [{"name": "J", "engine": "scripted", "kept_sample": 20, "full_share": 0}]}
    for out, seed in (("a", 1), ("b", 1), ("c", 2)):
        filter_pairs(pairs(200), tmp_path / out, config=config, seed=seed)
    a, b, c = (
        set(pl.read_parquet(tmp_path / out / "judgments.parquet").select("pair_id", "order").iter_rows())
        for out in "abc"
    )
    assert a == b != c
    before = (tmp_path / "a/filter.journal.jsonl").read_text()
    (tmp_path / "a/filter.manifest.json").unlink()
    filter_pairs(pairs(200), tmp_path / "a", config=config, seed=1)
    assert (tmp_path / "a/filter.journal.jsonl").read_text() == before
    assert (tmp_path / "a/judgments.parquet").read_bytes() == (tmp_path / "b/judgments.parquet").read_bytes()


def test_a_judge_asked_everything_is_measured_on_everything_kept(tmp_path: Path) -> None:
    found, votes = filtered(tmp_path, 60, frugal=False, kept_sample=5)
    assert votes.height == 120
    assert found.more["quality"]["judges"][0]["n"] == found.kept
    assert found.more["quality"]["once"] == 0


def test_recorded_votes_are_told_of_and_nobody_is_asked(tmp_path: Path) -> None:
    found, votes = filtered(tmp_path, 60, kept_sample=0, full_share=0.0)
    again = filter_pairs(
        pairs(60), tmp_path / "again", config=FiltersConfig(filters=STEPS), judgments=tmp_path / "out/judgments.parquet"
    )
    assert (again.steps, again.kept) == (found.steps, found.kept)
    assert pl.read_parquet(tmp_path / "again/judgments.parquet").equals(votes)
    assert again.more["quality"]["once"] == found.more["quality"]["once"]
    assert [judge["judge"] for judge in again.more["judges"]] == ["J"]


def test_of_recorded_votes_what_was_not_asked_is_not_called_unreadable_nor_the_other_way_round(tmp_path: Path) -> None:
    """Of 9 pairs with a first vote for chosen, 3 were asked no more, 3 again with success and 3 without."""
    rows = []
    for n, pair in enumerate(read_pairs(pairs(9)).kept.select("pair_id").collect()["pair_id"]):
        first = first_order(pair, "J")
        second = ORDERS[1 - ORDERS.index(first)]
        rows += [
            (pair, "J", first, "chosen"),
            *([(pair, "J", second, "chosen" if n % 3 == 1 else None)] if n % 3 else []),
        ]
    votes = pl.DataFrame(rows, schema=["pair_id", "judge", "order", "vote"], orient="row")
    votes.write_parquet(tmp_path / "votes.parquet")
    config = FiltersConfig(filters=[{"use": "judge_agrees"}])
    found = filter_pairs(pairs(9), tmp_path / "out", config=config, judgments=tmp_path / "votes.parquet")
    assert found.more["judge_agrees"] == {"kept": 9, "right": 3, "unsure": 0, "wrong": 0, "once": 3, "unread": 3}
    (quality,) = found.more["quality"]["judges"]
    assert (quality["sampled"], quality["n"], quality["right"]) == (6, 3, 3)
    assert "3 asked in one order alone by some judge, and 3 with an answer in one order that could" in show.funnel(
        found
    )
    assert "3 unreadable beside them" in show.funnel(found)


def test_without_a_judge_no_word_is_said_of_one(tmp_path: Path) -> None:
    twice = pl.concat([pairs(5)] * 2)
    found = filter_pairs(twice, tmp_path / "out", config=FiltersConfig(filters=[{"use": "duplicate"}]))
    assert set(found.more) == {"reading"}
    assert (found.kept, found.more["reading"]["set_aside"]) == (5, {}), "what a filter drops could be read"
    assert show.funnel(found).startswith(" step")


def test_without_judge_agrees_it_is_said_to_have_kept_nothing_and_why_all_is_dropped(tmp_path: Path) -> None:
    """A judge without probabilities, whose votes are asked for a margin."""
    engine = script(tmp_path, *["m"] * 40)
    config = {"filters": [{"use": "margin"}], "judges": [{"name": "J", "engine": engine}]}
    found = filter_pairs(pairs(10), tmp_path / "out", config=config)
    assert found.kept == 0
    assert "judge_agrees" not in found.more
    assert found.more["judges"][0]["judge"] == "J"
    told = show.funnel(found)
    assert "judge_agrees" not in told
    assert "(10 unknown: it has no margin: votes without probabilities, or no scores)" in told


def test_a_judge_of_its_own_replies_is_told(tmp_path: Path) -> None:
    own = pairs(8).with_columns(policy=pl.lit("org/model-1@sso-2"), pair_id=pl.Series([digest(n) for n in range(8)]))
    config = {"filters": STEPS, "judges": [{"name": "J", "model": "model-1", "engine": "scripted"}]}
    found = filter_pairs(own, tmp_path / "out", config=config)
    assert "J judges replies of its own model" in show.funnel(found)


def test_keys_that_are_new_leave_older_folders_as_they_are() -> None:
    """At their defaults the fingerprint knows nothing of them."""
    plain = judge_fingerprint(Judge(name="J"), None)
    assert "kept_sample" not in plain
    assert "criterion" not in plain
    assert judge_fingerprint(Judge(name="J", kept_sample=9), None)["kept_sample"] == 9
    by_feature = judge_fingerprint(Judge(name="J", criterion="feature"), None)
    assert by_feature["criterion"] not in (None, plain["template"])


@pytest.mark.parametrize("rule", ["no_judge_prefers_rejected", "no_vote_for_rejected", "all_right"])
def test_votes_of_the_sample_change_no_decision(rule: str, tmp_path: Path) -> None:
    config = {"filters": [{"use": "judge_agrees", "rule": rule}], "judges": [{"name": "J", "engine": "scripted"}]}
    found = filter_pairs(pairs(150), tmp_path / "out", config=config)
    votes = pl.read_parquet(tmp_path / "out/judgments.parquet")
    decided = decide(votes, ["J"], rule).collect()
    assert decided["reason"].null_count() == found.kept
    assert set(votes["vote"]) <= {*REPLIES[:2], None}


def test_a_pair_that_is_there_twice_is_judged_once_and_nothing_is_left_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a run whose iterations made the same pair; readers of files give it two ids."""
    monkeypatch.setattr("factory.stages.parts.AT_ONCE", 60)
    once = read_pairs(pairs(80)).split.kept.collect()
    judge = Judge(name="J", full_share=0)
    asked: list[Request] = []

    class Engine:
        identity, context_length = "J", None

        def count_tokens(self, conversations: Sequence[Messages]) -> list[int]:
            return [0 for _ in conversations]

        def generate(self, requests: Sequence[Request]) -> Iterator[Completion]:
            asked.extend(requests)
            yield from (Completion(request.id, "m") for request in requests)

    twice = LazySplit(pl.concat([once, once]).lazy(), REJECTED.empty().lazy())
    filter_into(tmp_path, twice, registry.build(STEPS), [JudgeWithEngine(judge, Engine())], 1)
    votes = pl.read_parquet(tmp_path / "judgments.parquet")
    assert len({request.id for request in asked}) == len(asked) == len(votes)
    assert votes.select("pair_id", "order").is_unique().all()
    assert votes["pair_id"].n_unique() == 80
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(STAGES["filter"].files())


@pytest.mark.parametrize("ending", [None, "stop"])
def test_a_filter_without_anything_to_go_by_says_that_it_keeps_every_pair(tmp_path: Path, ending: str | None) -> None:
    heard, config = Heard(), {"filters": [{"use": "truncated", "replies": ["chosen"]}]}
    given = pairs(3).with_columns(finish_chosen=pl.lit(ending, dtype=pl.String))
    assert filter_pairs(given, tmp_path / "out", config=config, progress=heard).kept == 3
    told = "truncated: none of the first 3 pairs has finish_chosen, without which it keeps every pair"
    assert (told in heard.lines) == (ending is None)
