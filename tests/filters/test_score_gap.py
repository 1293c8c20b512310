import pytest

from factory.errors import InputError
from tests.filters.table import row, run, table

INFINITE = float("-inf")
SCORED = {
    "wide": (5, 2),
    "near": (4.5, 4),
    "tie": (3, 3),
    "turned": (1, 4),
    "half": (2, None),
    "none": (None, None),
    "endless": (INFINITE, INFINITE),
}


def scored(chosen="score_chosen", rejected="score_rejected", kind=float):
    return table(
        [
            row(tag, **{name: None if value is None else kind(value) for name, value in ((chosen, c), (rejected, r))})
            for tag, (c, r) in SCORED.items()
        ]
    )


UNSCORED = dict.fromkeys(("half", "none", "endless"), "unscored")
WANTED = {"wide": None, "near": None, "tie": "tie", "turned": "inverted", **UNSCORED}


@pytest.mark.parametrize("names", [("score_chosen", "score_rejected"), ("chosen_rating", "rejected_rating")])
@pytest.mark.parametrize("kind", [float, str])
def test_ties_and_inversions_are_dropped_with_their_reasons(names, kind):
    found = run({"use": "score_gap"}, scored(*names, kind))
    assert found.reasons == WANTED
    assert found.details["turned"] == "-3.0"
    assert found.step.reasons == {"inverted": 1, "tie": 1, "unscored": 3}


def test_the_least_gap_and_the_columns_can_be_chosen():
    found = run({"use": "score_gap", "columns": ["a", "b"], "min": 0.75}, scored("a", "b"))
    assert found.reasons == {**WANTED, "near": "small"}
    assert found.details["near"] == "0.5"
    assert run({"use": "score_gap", "columns": ["a", "b"], "min": 0.5}, scored("a", "b")).reasons == WANTED


def test_one_column_is_the_gap_itself():
    pairs = table([row(tag, strength=value) for tag, value in (("a", 2), ("b", 0), ("c", -1), ("d", None))])
    found = run({"use": "score_gap", "columns": "strength", "keep_unscored": True}, pairs)
    assert found.reasons == {"a": None, "b": "tie", "c": "inverted", "d": None}


def test_what_is_no_number_is_no_score_and_a_column_that_is_missing_is_named():
    pairs = table(
        [row("a", score_chosen="high", score_rejected="low"), row("b", score_chosen="nan", score_rejected="1")]
    )
    assert run({"use": "score_gap"}, pairs).reasons == {"a": "unscored", "b": "unscored"}
    lists = table([row("a", score_chosen=[1.0], score_rejected=[2.0])])
    assert run({"use": "score_gap"}, lists).reasons == {"a": "unscored"}
    with pytest.raises(InputError, match=r"^the filter score_gap reads the column gap; the pairs have pair_id, "):
        run({"use": "score_gap", "columns": "gap"}, pairs)
