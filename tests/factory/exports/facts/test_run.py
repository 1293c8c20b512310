"""Facts worked by hand: judges' leanings on the vote asked first, what may be told of a configuration, a run."""

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from factory.config import Pairs
from factory.config.pairs import PAIR_MAKERS
from factory.exports.facts import BINS, Share, bin_width, histogram, share
from factory.exports.facts.bill import Bill
from factory.exports.facts.judges import judge_facts
from factory.exports.facts.making import MAKINGS
from factory.exports.facts.public import public_config, public_name
from factory.exports.facts.run import run_facts
from factory.schema import JUDGMENTS, ORDERS, conform
from filters.votes import first_order
from tests.runs import run_folder

JUDGE = "j"


def other(order: str) -> str:
    return ORDERS[1 - ORDERS.index(order)]


def vote(pair: str, order: str, to: str | None, **more: Any) -> dict[str, Any]:
    return {"pair_id": pair, "judge": JUDGE, "order": order, "vote": to, **more}


def facts(votes: list[dict[str, Any]], pairs: list[dict[str, Any]]) -> Any:
    (found,) = judge_facts(conform(pl.DataFrame(votes), JUDGMENTS), pl.DataFrame(pairs))
    return found


def ids(order: str, count: int) -> list[str]:
    """Pairs about which the judge is asked first in this order."""
    found = (f"{n:032x}" for n in range(10_000))
    return [pair for pair in found if first_order(pair, JUDGE) == order][:count]


def test_leanings_rest_on_first_votes_alone() -> None:
    """Four pairs shown chosen first: 3 votes for chosen, so 3 of 4 for the first slot; chosen is longer in 2 of them.

    The votes of the second orders, all for rejected, would turn every number if they counted.
    """
    pairs = ids("chosen_first", 4)
    first = [vote(pair, "chosen_first", to) for pair, to in zip(pairs, ("chosen",) * 3 + ("rejected",), strict=True)]
    second = [vote(pair, "rejected_first", "rejected") for pair in pairs]
    lengths = [9, 9, 1, 1]
    table = [
        {"pair_id": p, "chosen": n, "rejected": 5, "feature": "A" if n == 9 else "B", "iteration": 1}
        for p, n in zip(pairs, lengths, strict=True)
    ]
    found = facts(first + second, table)
    assert found.health.votes == 8
    assert found.for_chosen == Share(hits=3, n=4)
    assert found.first_slot == Share(hits=3, n=4)
    assert found.longer == Share(hits=3, n=4), "two longer chosen preferred, and one longer rejected"
    assert found.by_feature == {"A": Share(hits=2, n=2), "B": Share(hits=1, n=2)}
    assert found.by_iteration == {"1": Share(hits=3, n=4)}
    assert found.verdicts == {"unsure": 3, "wrong": 1}


def test_flips_are_weighed_by_how_often_a_first_vote_was_given() -> None:
    """Frugal judging: 8 of 10 first votes for chosen, 2 of them asked again, of which 1 turns; the rest stand.

    0.8 * 1/2 + 0.2 * 0/2 = 0.4, where the plain share of the pairs asked twice would be 1/4.
    """
    pairs = ids("rejected_first", 10)
    votes = [vote(pair, "rejected_first", "chosen") for pair in pairs[:8]]
    votes += [vote(pair, "rejected_first", "rejected") for pair in pairs[8:]]
    votes += [vote(pairs[0], "chosen_first", "rejected"), vote(pairs[1], "chosen_first", "chosen")]
    votes += [vote(pair, "chosen_first", "rejected") for pair in pairs[8:]]
    found = facts(votes, [{"pair_id": pair, "chosen": 1, "rejected": 1} for pair in pairs])
    assert found.flips == pytest.approx(0.4)
    assert found.longer is None, "no pair is of unequal length"
    assert found.first_slot == Share(hits=2, n=10)


def test_the_share_for_chosen_of_a_judge_that_follows_the_slot_is_not_shown() -> None:
    """12 of 12 first votes for the slot shown second: their share for chosen is the coin's."""
    pairs = ids("chosen_first", 6) + ids("rejected_first", 6)
    votes = [vote(pair, "chosen_first", "rejected") for pair in pairs[:6]]
    votes += [vote(pair, "rejected_first", "chosen") for pair in pairs[6:]]
    lengths = [{"pair_id": pair, "chosen": 2, "rejected": 1, "feature": "A", "iteration": 1} for pair in pairs]
    found = facts(votes, lengths)
    assert found.health.follows_slot
    assert (found.for_chosen, found.by_feature, found.by_iteration) == (None, {}, {})
    assert found.first_slot == Share(hits=0, n=12)
    assert found.longer == Share(hits=6, n=12)


def test_unread_votes_are_counted_and_never_made_up() -> None:
    (pair,) = ids("chosen_first", 1)
    found = facts(
        [vote(pair, "chosen_first", None), vote(pair, "rejected_first", "chosen")],
        [{"pair_id": pair, "chosen": 1, "rejected": 2}],
    )
    assert (found.health.votes, found.health.unread) == (2, 1)
    assert found.for_chosen is None
    assert found.flips is None
    assert found.verdicts == {"invalid": 1}
    nothing = facts([vote(pair, "chosen_first", "chosen")], [{"pair_id": pair, "chosen": 1, "rejected": 2}])
    assert nothing.flips is None


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("org/model", "org/model"),
        ("bundled:smollm2-135m-instruct", "bundled:smollm2-135m-instruct"),
        ("gpt-4o", "gpt-4o"),
        ("/home/me/models/mine", "mine"),
        ("./runs/x/policy", "policy"),
        ("~/models/mine/", "mine"),
        ("C:\\Users\\me\\mine", "mine"),
        ("file:///home/me/mine", "mine"),
    ],
)
def test_public_names_have_no_folders_of_a_machine(given: str, shown: str) -> None:
    assert public_name(given) == shown


def test_public_config_has_neither_places_nor_servers() -> None:
    secret = "http://user:key@host/v1"
    config = {
        "run": {"dir": "/home/me"},
        "engine": {"base_url": secret},
        "policy": {"model": "/home/me/model"},
        "principles": {"set": "/home/me/own.yaml"},
        "training": {"method": "sso", "trainer_options": {"deepspeed": "/home/me/ds.json"}, "report_to": ["wandb"]},
        "judges": [{"name": "j", "engine": {"base_url": secret}, "model": "/home/me/judge", "retries": 2}],
        "filters": [{"use": "decontaminate", "files": ["/home/me/bench.jsonl"]}],
        "audit": {"judge": {"name": "a", "engine": {"base_url": secret}}, "sample": 5},
    }
    shown = public_config(config)
    assert "/home/me" not in json.dumps(shown).replace("/home/me/judge", "")
    assert secret not in json.dumps(shown)
    assert shown["principles"] == {"set": "own.yaml"}
    assert shown["training"] == {"method": "sso"}
    assert public_config({"filters": None, "principles": {"set": "sso"}})["filters"] == "paper preset"
    assert shown["judges"] == [{"name": "j", "model": "judge", "retries": 2}]
    assert shown["audit"] == {"judge": {"name": "a"}, "sample": 5}


@pytest.mark.parametrize(
    ("pairs", "shown", "models"),
    [
        ({"from": "principles", "n": 4, "weak": None}, {"from": "principles"}, []),
        (
            {"from": "delta", "n": 4, "weak": "/home/me/small", "weak_engine": {"base_url": "http://host"}},
            {"from": "delta", "weak": "small"},
            [("weaker model", "small")],
        ),
        (
            {"from": "best_of_n", "n": 4, "weak": "small", "by": "org/rm"},
            {"from": "best_of_n", "n": 4, "by": "org/rm"},
            [("reward model that ranked the replies", "org/rm")],
        ),
        ({"from": "best_of_n", "n": 4, "by": None}, {"from": "best_of_n", "n": 4}, []),
        (
            {"from": "label_first", "template": "/home/me/second.yaml"},
            {"from": "label_first", "template": "second.yaml"},
            [],
        ),
    ],
)
def test_how_pairs_were_made_and_by_which_models_is_public(
    pairs: dict[str, Any], shown: dict[str, Any], models: list[tuple[str, str]], tmp_path: Path
) -> None:
    config = {"pairs": pairs, "principles": {"set": "sso"}, "judges": [{"name": "j", "criterion": "feature"}]}
    found = public_config(config)
    assert found["pairs"] == shown
    assert found["judges"] == [{"name": "j", "criterion": "feature"}]
    (tmp_path / "run.json").write_text(json.dumps({"config": config}))
    facts = run_facts(tmp_path)
    assert [(model.role, model.name) for model in facts.models] == [*models, ("judge", "j")]
    assert (facts.principles is not None) == ("principles" in found) == (pairs["from"] == "principles")


def test_every_pair_maker_has_its_words_and_its_own_keys() -> None:
    assert MAKINGS.keys() == PAIR_MAKERS.keys()
    keys = {field.alias or name for name, field in Pairs.model_fields.items()}
    assert keys - {"from", "weak_engine"} == {key for making in MAKINGS.values() for key in making.keys}


def test_a_share_of_nothing_is_none() -> None:
    assert share(0, 0) is None


def test_histogram_bins_hold_every_reply() -> None:
    """Lengths 0 to 99 need bins of 3 for the 99th percentile of 98 (40 bins of 2 reach 80 alone)."""
    table = pl.DataFrame({"chosen": range(100), "rejected": [500] * 100})
    assert bin_width(table.select("chosen", rejected="chosen")) == 3
    found = histogram(table, 5)
    assert found.chosen[:20] == [5] * 20
    assert found.rejected[BINS - 1] == 100
    assert sum(found.chosen) == sum(found.rejected) == 100


def test_a_run_is_collected_whole(tmp_path: Path) -> None:
    found = run_facts(run_folder(tmp_path / "demo", prompts=40))
    assert (found.name, found.seed, found.version) == ("demo", 42, "0.1.0")
    assert [(it.number, it.prompts, it.pairs) for it in found.iterations] == [(1, 40, 40), (2, 40, 40), (3, 40, 40)]
    assert sum(it.kept or 0 for it in found.iterations) == found.funnel.kept
    assert all(len(it.metrics) == 40 for it in found.iterations), "the torn last line is left out"
    scores = pl.read_parquet(tmp_path / "demo/iterations/1/scores.parquet")
    assert found.iterations[0].likelihood["chosen_good"] == pytest.approx(scores["logp_chosen_good"].exp().mean())
    assert found.kept_lengths.longer_chosen.value == pytest.approx(0.5, abs=0.02)
    assert found.lengths[0].lengths.pairs == found.funnel.steps[-2].kept
    assert sum(tally.n for tally in found.audit.groups["feature"].values()) == 360
    assert sum(tally.n for tally in found.audit.groups["iteration"].values()) == 360
    strata = [{"iteration": n, "feature": None, "n": 1, "right": 1} for n in (10, 1, 2)]
    (tmp_path / "demo/audit/audit.json").write_text(json.dumps({"n": 3, "right": 3, "unsure": 0, "strata": strata}))
    assert list(run_facts(tmp_path / "demo").audit.groups["iteration"]) == ["1", "2", "10"]
    votes = pl.read_parquet(tmp_path / "demo/filtered/judgments.parquet")
    assert found.bill.total.cost == pytest.approx(3 * 0.3 + 1.29 + votes["cost"].sum())
    assert list(found.seconds)[-2:] == ["filtered/filter", "audit/audit"]
    assert (found.models[0].role, found.models[0].name) == ("policy", "bundled:smollm2-135m-instruct")


@pytest.mark.parametrize("steps", [["length_balance", "length_gap"], ["length_balance", "duplicate", "length_balance"]])
def test_what_reached_a_balance_is_told_only_where_the_tables_tell_it(steps: list[str], tmp_path: Path) -> None:
    """What later steps dropped reached it too, and rows that two balances dropped do not say which did."""
    path = run_folder(tmp_path / "demo", prompts=10) / "filtered/funnel.json"
    assert len(run_facts(tmp_path / "demo").lengths) == 2
    told = [{"filter": name, "kept": 1, "rejected": 0} for name in steps]
    path.write_text(json.dumps({"input": 1, "steps": told, "kept": 1}))
    assert len(run_facts(tmp_path / "demo").lengths) == 1


def test_the_time_of_filtering_counts_once_under_a_target(tmp_path: Path) -> None:
    """The stage that counts towards a target filters, and its time holds that of the filter."""
    manifest = {"version": 1, "fingerprint": "", "inputs": {}, "outputs": {}, "facts": {}}
    for name, seconds in (("iterations/1/passed", 3.0), ("filtered/filter", 2.5)):
        path = tmp_path / f"{name}.manifest.json"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps({**manifest, "stage": name, "seconds": seconds}))
    assert run_facts(tmp_path).seconds == {"iterations/1/passed": 3.0}


def test_an_empty_folder_has_no_facts(tmp_path: Path) -> None:
    found = run_facts(tmp_path)
    assert (found.iterations, found.funnel, found.judges, found.audit) == ([], None, [], None)
    assert found.bill == Bill()
