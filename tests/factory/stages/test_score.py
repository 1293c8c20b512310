"""Scores: nine conditionals per pair, each in its own column, and null wherever something was not measured."""

import math
from pkgutil import resolve_name

import polars as pl
import pytest

import filters
from factory.config import Training
from factory.engines.base import Reply, Score
from factory.identity import pair_id
from factory.schema import LOGPS, PAIRS, SCORES, check, conform
from factory.stages.score import read_by, score
from tests.answering import Answering, prompts_frame

REPLY_VALUE = {"chosen": 1.0, "rejected": 2.0, "original": 3.0}
VIEW_VALUE = {"plain": 0.1, "good": 0.2, "bad": 0.3}


def pairs_frame(*prompts, **columns):
    frame = prompts_frame(*prompts).drop("portion")
    replies = {reply: [f"{reply} {n}" for n in range(len(prompts))] for reply in REPLY_VALUE}
    systems = {"system_good": ["G"] * len(prompts), "system_bad": ["B"] * len(prompts)}
    finishes = {f"finish_{reply}": ["stop"] * len(prompts) for reply in REPLY_VALUE}
    ids = [pair_id(turns, f"chosen {n}", f"rejected {n}") for n, turns in enumerate(frame["prompt"].to_list())]
    made = {"pair_id": ids} | replies | systems | finishes | columns
    return conform(frame.with_columns(**{name: pl.Series(values) for name, values in made.items()}), PAIRS)


def numbers(request):
    """Minus the sum of a reply's and a view's value, so that each cell shows where it came from."""
    view = request.id.split("/")[2]
    logps = tuple(-REPLY_VALUE[reply.text.split()[0]] - VIEW_VALUE[view] for reply in request.replies)
    return Score(request.id, logps, (3,) * len(logps))


def test_each_pair_and_view_is_one_request_with_all_replies():
    pairs = pairs_frame("a", "b")
    engine = Answering(numbers)
    score(pairs, engine)
    assert [r.id for r in engine.asked] == [f"score/{i}/{v}" for i in pairs["pair_id"] for v in VIEW_VALUE]
    plain, good, bad = (request.messages for request in engine.asked[:3])
    assert plain == [{"role": "user", "content": "a"}]
    assert good == [{"role": "system", "content": "G"}, *plain]
    assert bad == [{"role": "system", "content": "B"}, *plain]
    assert engine.asked[0].replies == (Reply("chosen 0", True), Reply("rejected 0", True), Reply("original 0", True))


def test_each_number_lands_in_its_column_and_rows_keep_their_order():
    pairs = pairs_frame("a", "b", "c", mine=[1, 2, 3])
    made = score(pairs, Answering(numbers))
    check(made, SCORES)
    assert made.select(pairs.columns).equals(pairs)
    for row in made.to_dicts():
        for reply, one in REPLY_VALUE.items():
            for view, other in VIEW_VALUE.items():
                assert row[f"logp_{reply}_{view}"] == -one - other


def test_numbers_follow_their_pair_not_the_order_of_answers():
    pairs = pairs_frame("a", "b", "c")
    value = {pair: -float(n) for n, pair in enumerate(pairs["pair_id"], 1)}
    made = score(pairs, Answering(lambda r: Score(r.id, (value[r.id.split("/")[1]],) * 3, (1, 1, 1))))
    assert made["logp_original_bad"].to_list() == [-1.0, -2.0, -3.0]


def test_a_reply_cut_by_the_length_limit_has_no_end_token():
    pairs = pairs_frame("a", finish_chosen=["length"], finish_rejected=[None])
    engine = Answering(numbers)
    score(pairs, engine)
    assert [reply.finished for reply in engine.asked[0].replies] == [False, True, True]


def test_a_pair_without_original_has_six_numbers():
    made = score(pairs_frame("a", "b", original=[None, "original 1"]), Answering(numbers))
    first, second = made.to_dicts()
    assert [name for name in LOGPS if first[name] is None] == [f"logp_original_{view}" for view in VIEW_VALUE]
    assert first["logp_rejected_bad"] == -2.3
    assert all(second[name] is not None for name in LOGPS)


def test_a_pair_without_system_messages_has_the_plain_view_alone():
    engine = Answering(numbers)
    made = score(pairs_frame("a", system_good=[None], system_bad=pl.Series([None], dtype=pl.String)), engine)
    assert [request.id.split("/")[2] for request in engine.asked] == ["plain"]
    (row,) = made.to_dicts()
    assert {name for name in LOGPS if row[name] is not None} == {f"logp_{reply}_plain" for reply in REPLY_VALUE}


def test_what_failed_is_null_and_the_rest_is_not():
    """The good view is too long, the bad one is not answered, the plain one gives one number, a null and a NaN."""

    def answer(request):
        view = request.id.split("/")[2]
        if view == "good":
            return Score(request.id, (), (), error="longer than the context")
        return Score(request.id, (-1.0, None, math.nan), (1, None, 1), error="partly") if view == "plain" else None

    (row,) = score(pairs_frame("a"), Answering(answer)).to_dicts()
    assert {name: row[name] for name in LOGPS if row[name] is not None} == {"logp_chosen_plain": -1.0}


def test_old_numbers_are_replaced_and_a_pair_listed_twice_is_asked_once():
    pairs = pairs_frame("a", logp_chosen_plain=[-9.0])
    engine = Answering(numbers)
    made = score(pl.concat([pairs, pairs]), engine)
    assert len(engine.asked) == 3
    assert made["logp_chosen_plain"].to_list() == [-1.1, -1.1]


SSO = ["chosen_plain", "chosen_good", "chosen_bad", "rejected_plain", "rejected_good", "original_bad"]


def test_only_what_is_wanted_is_asked_and_the_rest_is_null():
    engine = Answering(numbers)
    (row,) = score(pairs_frame("a"), engine, ["logp_original_bad", "logp_chosen_plain"]).to_dicts()
    asked = {request.id.split("/")[2]: [reply.text for reply in request.replies] for request in engine.asked}
    assert asked == {"plain": ["chosen 0"], "bad": ["original 0"]}
    known = {name: row[name] for name in LOGPS if row[name] is not None}
    assert known == {"logp_chosen_plain": -1.1, "logp_original_bad": -3.3}


@pytest.mark.parametrize(
    ("options", "blocks", "read"),
    [
        ({}, [], SSO),
        ({"method": "pbaa"}, [], ["chosen_plain", "rejected_plain"]),
        ({"method": "none"}, [], ["chosen_plain", "rejected_plain"]),
        ({"steering": "naive"}, [], [*SSO[:-1], "rejected_bad"]),
        ({"method": "sso_no_g", "weight": "w_prime"}, [],
         ["chosen_plain", "rejected_plain", "original_good", "original_bad"]),
        ({}, [{"use": "logprob_order"}], [*SSO, "rejected_bad"]),
        ({"method": "pbaa"}, [{"use": "duplicate"}, {"use": "margin", "by": "logprobs"}],
         ["chosen_plain", "chosen_good", "chosen_bad", "rejected_plain", "rejected_good", "rejected_bad"]),
        ({"method": "pbaa", "scores": "all"}, [], [name.removeprefix("logp_") for name in LOGPS]),
    ],
)  # fmt: skip
def test_what_a_run_reads_is_what_its_loss_filters_and_report_read(options, blocks, read):
    found = read_by(Training(**options), filters.build(blocks))
    assert set(found) == {f"logp_{name}" for name in read}
    assert list(found) == [name for name in LOGPS if name in found], "in the order of the schema"


@pytest.mark.parametrize("use", filters.FILTERS)
def test_no_filter_reads_a_number_that_is_not_measured(use):
    """Whatever a filter's expressions name of the nine is asked for, the day the filter is added."""
    kind = resolve_name(filters.FILTERS[use])
    given = {name: ["x"] for name, field in kind.model_fields.items() if field.is_required()}
    try:
        made = kind.model_validate(given)
    except ValueError:
        pytest.skip("takes files")
    named = {name for each in made.measures().values() for name in each.meta.root_names()} & LOGPS.keys()
    assert named <= set(read_by(Training(method="none"), [made]))


def test_without_pairs_the_scores_table_is_empty():
    made = score(PAIRS.empty(), Answering(numbers))
    check(made, SCORES)
    assert made.is_empty()
