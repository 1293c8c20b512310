"""Laws that every filter keeps, the day it is added: the registry is walked, not a list of names."""

import subprocess
import sys

import polars as pl
import pytest

from factory.schema import JUDGMENTS, REJECTED, conform
from factory.strict import descriptions
from filters import FILTERS, build
from filters import votes as vote_module
from filters.funnel import apply
from filters.measure import Measures
from tests.filters.table import lazily, row, table, votes

BOTH = ("chosen_first", "rejected_first")
ORDERED = dict.fromkeys(("logp_chosen_good", "logp_rejected_bad"), -0.1)
ORDERED |= dict.fromkeys(("logp_chosen_plain", "logp_rejected_plain"), -0.2)
ORDERED |= dict.fromkeys(("logp_chosen_bad", "logp_rejected_good"), -0.3)
LONG = "benchmark words that nobody would write in this order by themselves, or so one hopes at least"


@pytest.fixture(scope="module")
def options(tmp_path_factory):
    """What filters need to be given; a filter that is not named needs nothing."""
    path = tmp_path_factory.mktemp("bench") / "bench.txt"
    path.write_text(LONG + "\n")
    return {"decontaminate": {"files": [str(path)]}}


def fixture():
    """Good pairs, and for each filter some that it must drop; a pair is there twice, another has nulls all over."""
    good = {"method": "sso", "iteration": 1, "finish_chosen": "stop", "finish_rejected": "stop", **ORDERED}
    good |= {"score_chosen": 4.0, "score_rejected": 3.0}
    rows = [row(f"good {n}", f"question {n}", "a" * (20 + n), "b" * (30 - n), **good) for n in range(12)]
    rows += [row(f"ahead {n}", f"ahead {n}", "a" * 60, "b" * 20, **good) for n in range(5)]
    rows += [row("later", "later", **{**good, "iteration": 9}), row("again", "question 3", "a" * 23, "b" * 27, **good)]
    rows += [row("wide", "wide", "a" * 5000, "b", **good), row("cut", "cut", **{**good, "finish_chosen": "length"})]
    rows += [row("refuses", "refuses", "I'm sorry, but I can't help with that.", **good)]
    rows += [row("leaks", "leaks", "Engaging response: yes", **good), row("same", "same", "one", "one", **good)]
    rows += [row("bench", LONG, **good), row("bare", "bare"), row("voted down", "voted down", **good)]
    return table(rows)


def judged(pairs):
    """Judge A is right of all but one pair, judge B has not seen every pair."""
    against = set(pairs.filter(pl.col("tag") == "voted down")["pair_id"])
    ids = pairs["pair_id"].unique(maintain_order=True).to_list()
    rows = [(pair, "A", order, "rejected" if pair in against else "chosen") for pair in ids for order in BOTH]
    rows += [(pair, "B", order, "chosen") for pair in ids[:-5] for order in BOTH]
    return votes(*rows, p_chosen=[0.2 if row[3] == "rejected" else 0.9 for row in rows])


def applied(name, options, pairs):
    return apply(lazily(pairs), build([{"use": name, **options.get(name, {})}]), judged(fixture()))


@pytest.mark.parametrize("name", FILTERS)
def test_every_filter_partitions_its_input_and_says_why(name, options):
    pairs = fixture()
    found = applied(name, options, pairs)
    kept, rejected = found.kept.collect(), found.rejected.collect()
    assert min(kept.height, rejected.height) > 0, "the fixture must make the filter do both"
    together = pl.concat([kept.select(pairs.columns), rejected.select(pairs.columns)])
    assert together.sort("tag").equals(pairs.sort("tag"))
    assert set(rejected["filter"]) == {name}
    assert rejected["reason"].null_count() == 0
    assert rejected["reason"].str.contains(r"^[a-z0-9_]+$").all()
    (one,) = build([{"use": name, **options.get(name, {})}])
    assert set(rejected["reason"]) <= set(one.reasons), "each token says in `reasons` what it means"
    (step,) = found.funnel.steps
    assert (step.kept, step.rejected) == (kept.height, rejected.height)
    assert dict(step.reasons) == dict(rejected["reason"].value_counts().iter_rows())
    assert list(rejected.columns[:3]) == list(REJECTED.columns)


@pytest.mark.parametrize("name", FILTERS)
def test_no_filter_minds_the_order_of_rows(name, options):
    pairs = fixture()
    first = dict(applied(name, options, pairs).rejected.collect().select("tag", "reason").iter_rows())
    for seed in range(3):
        shuffled = pairs.sample(fraction=1, shuffle=True, seed=seed)
        again = dict(applied(name, options, shuffled).rejected.collect().select("tag", "reason").iter_rows())
        alike = {"again", "good 3"}
        assert {tag: r for tag, r in again.items() if tag not in alike} == {
            tag: r for tag, r in first.items() if tag not in alike
        }
        assert len(alike & set(again)) == len(alike & set(first))


@pytest.mark.parametrize("name", FILTERS)
def test_every_filter_survives_no_rows(name, options):
    found = applied(name, options, fixture().clear())
    assert found.kept.collect().is_empty()
    assert found.rejected.collect().is_empty()
    assert found.funnel.steps[0].rejected == 0


@pytest.mark.parametrize("name", FILTERS)
def test_no_filter_changes_the_number_of_rows(name, options, tmp_path):
    pairs = fixture()
    (one,) = build([{"use": name, **options.get(name, {})}])
    rows = Measures(pairs.lazy(), [one], tmp_path).of(0)
    table_of_votes = judged(pairs)
    if one.needs_votes:
        rows = vote_module.join(rows, vote_module.by_pair(table_of_votes, vote_module.judges_of(table_of_votes)))
    found = one.reason(rows).collect()
    assert sorted(found["row"]) == list(range(pairs.height))
    assert found.schema["reason"] == pl.String


@pytest.mark.parametrize("name", FILTERS)
def test_every_filter_is_content_with_the_columns_a_foreign_file_has(name, options):
    bare = fixture().select("pair_id", "prompt_id", "prompt", "chosen", "rejected", "tag")
    found = applied(name, options, bare)
    assert found.kept.collect().height + found.rejected.collect().height == bare.height


@pytest.mark.parametrize("name", FILTERS)
def test_every_filter_is_one_file_with_a_documented_class(name):
    module, _, kind = FILTERS[name].partition(":")
    assert module == f"filters.{name}"
    (one,) = build([{"use": name}]) if name != "decontaminate" else [None]
    if one is not None:
        assert type(one).__name__ == kind
        assert type(one).__doc__
        assert descriptions(type(one)).keys() == type(one).model_fields.keys()


def test_building_filters_loads_nothing_heavy():
    heavy = "{'torch', 'scipy', 'rensa', 'datasets', 'pandas', 'pyarrow'}"
    code = f"import sys, filters; filters.build(None); print(*({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_the_judgments_of_the_fixture_fit_their_table():
    assert conform(judged(fixture()), JUDGMENTS).height > 0
