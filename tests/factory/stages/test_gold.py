"""People's labels: what is read, how several answers on a pair become one, and what is refused."""

import polars as pl
import pytest

from factory.commands.estimate import estimate
from factory.errors import InputError
from factory.stages.gold import from_answers, from_column, is_file, right


@pytest.mark.parametrize(
    "labels",
    [
        ["chosen", "rejected", "tie", None],
        ["1", " 2 ", "TIE", ""],
        [True, False, None, None],
        [1, 2, None, None],
        [1.0, 2.0, None, None],
    ],
)
def test_labels_of_a_column_are_read_in_every_spelling(labels: list[object]) -> None:
    pairs = pl.DataFrame({"pair_id": list("abcd"), "best": labels}, strict=False)
    found = dict(from_column(pairs, "best").iter_rows())
    assert found == {"a": "chosen", "b": "rejected", **({"c": "tie"} if labels[2] else {})}


def test_what_is_no_label_is_refused_with_the_cause() -> None:
    pairs = pl.DataFrame({"pair_id": ["a"], "best": ["worst"]})
    with pytest.raises(InputError, match="the pairs have no column label"):
        from_column(pairs, "label")
    with pytest.raises(InputError, match="the gold column best holds 'worst'; labels are chosen or rejected"):
        from_column(pairs, "best")
    with pytest.raises(InputError, match="labels need the columns pair_id and label"):
        from_answers(pairs, "answers.csv")


def test_the_last_answer_of_each_person_counts_and_more_than_half_decide() -> None:
    """a: two to one. b: one each is a tie. c: skipped. d: the last answer of one person. e: a tie. f: a skip aside."""
    rows = [
        ("a", "chosen", "x"),
        ("a", "chosen", "y"),
        ("a", "rejected", "z"),
        ("b", "chosen", "x"),
        ("b", "rejected", "y"),
        ("c", "skip", "x"),
        ("d", "rejected", "x"),
        ("d", "chosen", "x"),
        ("e", "tie", "x"),
        ("f", "rejected", "x"),
        ("f", "skip", "y"),
    ]
    answers = pl.DataFrame(rows, ["pair_id", "label", "annotator"], orient="row")
    found = from_answers(answers, "answers")
    assert dict(found.iter_rows()) == {"a": "chosen", "b": "tie", "d": "chosen", "e": "tie", "f": "rejected"}
    assert dict(right(found).iter_rows()) == {"a": 1, "b": 0, "d": 1, "e": 0, "f": 0}
    alone = from_answers(answers.drop("annotator"), "answers")
    assert dict(alone.iter_rows())["a"] == "rejected"


def test_a_file_of_labels_is_told_from_a_column() -> None:
    assert [is_file(name) for name in ("label", "labels.parquet", "LABELS.CSV", "a.jsonl.gz", "gold")] == [
        False,
        True,
        True,
        True,
        False,
    ]


@pytest.mark.parametrize("value", [["chosen"], {"a": 1}, b"chosen"])
def test_a_column_that_can_hold_no_label_is_told(value: object) -> None:
    with pytest.raises(InputError, match="the gold column best holds no text"):
        from_column(pl.DataFrame({"pair_id": ["p"], "best": [value]}), "best")


def test_a_column_right_means_one_thing_wherever_it_is_read():
    """1 and 0, true and false; 2, chosen and tie are refused by `estimate` and by a table of answers alike."""
    votes = pl.DataFrame(
        {"pair_id": ["a", "b"], "judge": "j", "order": "chosen_first", "vote": ["chosen", "rejected"]},
    )
    for said in (["1", "0"], ["true", "False"], ["1.0", "0.0"], [1, 0], [True, False]):
        answers = pl.DataFrame({"pair_id": ["a", "b"], "right": said}, strict=False)
        assert dict(right(from_answers(answers, "x")).iter_rows()) == {"a": 1, "b": 0}
        assert dict(right(from_column(answers, "right")).iter_rows()) == {"a": 1, "b": 0}
        assert estimate(votes, answers).accuracy == 0.5
    for said in ("2", "chosen", "tie"):
        answers = pl.DataFrame({"pair_id": ["a", "b"], "right": ["1", said]})
        for read in (
            lambda given: from_answers(given, "x"),
            lambda given: estimate(votes, given),
            lambda given: from_column(given, "right"),
        ):
            with pytest.raises(InputError, match=f"right.* holds '{said}'"):
                read(answers)
