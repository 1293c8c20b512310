"""What says which reply is better: labels, scores, votes, ranks, marks, and what leaves it open."""

import json

import polars as pl
import pytest

from factory.errors import InputError
from factory.readers import How, read_pairs
from tests.reading import read

NAN = float("nan")


LABELS = {
    "from 1": (["response_1", "response_2"], "label", [1, 2]),
    "from 1, as text": (["output_1", "output_2"], "label", ["1", "2"]),
    "from 0": (["response_1", "response_2"], "label", [0, 1]),
    "index": (["response_0", "response_1"], "better_response_id", [0, 1]),
    "letters": (["response_a", "response_b"], "winner", ["A", "B"]),
    "models": (["response_a", "response_b"], "winner", ["model_a", "model_b"]),
    "brackets": (["answer_a", "answer_b"], "verdict", ["[[A]]", "[[B]]"]),
    "signs": (["response_A", "response_B"], "label", ["A>B", "B>A"]),
    "other signs": (["response_A", "response_B"], "label", ["A>>B", "A<B"]),
    "strength": (["response1", "response2"], "overall_preference", [-2, 3]),
    "strength of HelpSteer 2": (["response_1", "response_2"], "preference_strength", [-1, 1]),
    "shp": (["human_ref_A", "human_ref_B"], "labels", [1, 0]),
    "chances": (["output_1", "output_2"], "preference", [1.2, 1.9]),
    "floats": (["output_1", "output_2"], "preference", [1.0, 2.0]),
    "names": (["response_1", "response_2"], "choice", ["response_1", "response_2"]),
}
TIES = {"letters": "tie", "models": "tie (bothbad)", "signs": "A=B", "strength": 0, "chances": 1.5}


@pytest.mark.parametrize("name", LABELS)
def test_a_label_says_which_reply_is_better(name, tmp_path):
    (one, two), label, (first, second) = LABELS[name]
    rows = [
        {"prompt": "Hi", one: "Tin.", two: "Wood.", label: first},
        {"prompt": "Ho", one: "Oak.", two: "Iron.", label: second},
    ]
    rows += [{"prompt": "Hm", one: "a", two: "b", label: TIES[name]}] if name in TIES else []
    kept, rejected = read(tmp_path, *rows)
    assert sorted((row["chosen"], row["rejected"]) for row in kept) == [("Iron.", "Oak."), ("Tin.", "Wood.")]
    assert [row["reason"] for row in rejected] == (["tie"] if name in TIES else [])
    if name.startswith("strength"):
        assert {row[label] for row in kept} == {first, second}


def test_scores_votes_and_flags_say_which_reply_is_better(tmp_path):
    both = {"prompt": "Hi", "response1": "Tin.", "response2": "Wood."}
    cases = [
        {**both, "score1": 3, "score2": 1.5},
        {**both, "annotator1": 1, "annotator2": 2, "annotator3": 1},
        {**both, "winner_model_a": 1, "winner_model_b": 0, "winner_tie": 0},
    ]
    for row in cases:
        kept, _ = read(tmp_path, row)
        assert [(pair["chosen"], pair["rejected"]) for pair in kept] == [("Tin.", "Wood.")]
    (pair,), _ = read(tmp_path, {**both, "score1": 1, "score2": 4})
    assert (pair["chosen"], pair["score_chosen"], pair["score_rejected"]) == ("Wood.", 4.0, 1.0)
    split = read(tmp_path, {**both, "annotator1": 0, "annotator2": 2, "annotator3": 1})
    assert [row["reason"] for row in split[1]] == ["tie"]


def test_a_lone_vote_does_not_outweigh_most_annotators_who_said_tie(tmp_path):
    both = {"prompt": "Hi", "response1": "Tin.", "response2": "Wood."}
    votes = [(0, 0, 2), (0, 2, 2), (1, 0, 0), (1, 1, 2)]
    rows = [{**both, **{f"annotator{n}": vote for n, vote in enumerate(three, 1)}} for three in votes]
    kept, rejected = read(tmp_path, *rows)
    assert [pair["chosen"] for pair in kept] == ["Wood.", "Tin."]
    assert [row["reason"] for row in rejected] == ["tie", "tie"]


@pytest.mark.parametrize("labels", [[True, False], [0, 1, 2], [-1, 1]])
def test_labels_that_can_be_meant_in_two_ways_are_refused_with_the_question(labels, tmp_path):
    with pytest.raises(InputError, match=r"x\.jsonl: the column label .*write 1 for the first"):
        read(tmp_path, *({"prompt": "Hi", "response_1": "a", "response_2": "b", "label": label} for label in labels))


@pytest.mark.parametrize("first", ["winner", "choice", "better_response_id", "verdict"])
@pytest.mark.parametrize("other", ["label", "preference", "labels", "judge_verdict"])
def test_a_column_that_names_the_better_one_wins_over_a_label_and_contradictions_are_counted(first, other):
    replies = {"prompt": ["Hi", "Yo"], "response_a": ["Tin.", "Tin!"], "response_b": ["Wood.", "Wood!"]}
    found = read_pairs(pl.DataFrame({other: ["b", "a"], **replies, first: ["a", "a"]}))
    assert found.kept.collect()["chosen"].to_list() == ["Tin.", "Tin!"]
    [warning] = found.reading.parts[0].warnings
    assert warning == f"{first} says which reply is better; {other} names the other one in 1 of 2 rows"


@pytest.mark.parametrize(
    ("replies", "name", "values"),
    [
        ("ab", "preference", (1, -1)),
        ("ab", "preference", (-1, 0, 1)),
        ("12", "preference", (-1, 1)),
        ("ab", "preference", (0, 1, 2)),
        ("12", "label", (0, 1, 2)),
    ],
)
def test_numbers_that_two_customs_read_otherwise_are_refused_with_the_question(replies, name, values):
    one, two = (f"response_{end}" for end in replies)
    rows = [{"prompt": "Hi", one: "Tin.", two: "Wood.", name: value} for value in values]
    with pytest.raises(InputError, match=f"the column {name} holds .*; which is meant"):
        read_pairs(pl.DataFrame(rows))


def test_a_preference_of_alpaca_farm_has_0_for_a_tie_and_says_so():
    rows = [{"prompt": "Hi", "output_1": "Tin.", "output_2": "Wood.", "preference": value} for value in (0, 1, 2)]
    found = read_pairs(pl.DataFrame(rows))
    assert found.kept.collect()["chosen"].to_list() == ["Tin.", "Wood."]
    assert found.reasons() == {"tie": 1}
    assert found.reading.parts[0].warnings[0] == (
        "preference is counted from 1: 1 is output_1, 2 is output_2, and 0 a tie"
    )


@pytest.mark.parametrize(("column", "says"), [("label", [1, 2]), ("winner", ["a", "b"])])
def test_scores_that_speak_for_the_other_reply_are_counted_in_a_warning(column, says):
    replies = {"prompt": ["Hi", "Yo"], "response_a": ["Tin.", "Tin!"], "response_b": ["Wood.", "Wood!"]}
    found = read_pairs(pl.DataFrame({**replies, column: says, "score_a": [1, 1], "score_b": [5, 5]}))
    assert found.kept.collect()["chosen"].to_list() == ["Tin.", "Wood!"]
    [warning] = found.reading.parts[0].warnings
    wanted = f"{column} says which reply is better; score_a and score_b speak for the other one in 1 of 2 rows"
    assert warning == wanted


def test_a_label_that_is_not_a_number_costs_its_row():
    replies = {"prompt": ["Hi", "Yo", "Ho"], "response_a": ["Tin."] * 3, "response_b": ["Wood."] * 3}
    found = read_pairs(pl.DataFrame({**replies, "label": [1.0, 2.0, NAN]}))
    assert found.kept.collect()["chosen"].to_list() == ["Tin.", "Wood."]
    assert found.reasons() == {"unreadable": 1}


def test_a_score_that_is_no_number_sets_its_row_aside(tmp_path):
    rows = [{"prompt": "Hi", "answer_0": "Tin.", "answer_1": "Wood.", "score_0": s, "score_1": 0.5} for s in (1.5, NAN)]
    kept, rejected = read(tmp_path, *rows)
    assert [row["chosen"] for row in kept] == ["Tin."]
    assert [row["reason"] for row in rejected] == ["unreadable"]


@pytest.mark.parametrize("label", [[2, 1], ["b", "a"], ["Wood", "Tin"], ["2", "1"]])
@pytest.mark.parametrize("names", [("Tin", "Wood"), ("chosen", "rejected")])
def test_a_label_that_the_user_names_says_which_of_the_two_named_columns_is_better(label, names):
    if "Tin" in label and names[0] != "Tin":
        label = ["rejected", "chosen"]
    frame = pl.DataFrame(
        {"query": ["Hi", "Yo"], names[0]: ["Tin.", "Tin!"], names[1]: ["Wood.", "Wood!"], "lab": label}
    )
    named = {"prompt": "query", "chosen": names[0], "rejected": names[1], "label": "lab"}
    found = read_pairs(frame, how=How(columns=named))
    assert found.kept.collect()["chosen"].to_list() == ["Wood.", "Tin!"]


@pytest.mark.parametrize(
    "marks",
    [
        ("chosen", "rejected"),
        ("positive", "negative"),
        ("True", "False"),
        ("good", "bad"),
        (1.0, 0.0),
        (1, 0),
        ("1", "0"),
        ("yes", "no"),
        ("up", "down"),
        ("👍", "👎"),
        (True, False),
    ],
)
@pytest.mark.parametrize("name", ["label", "rating"])
def test_marks_of_single_replies_are_read_in_words_and_numbers(name, marks):
    frame = pl.DataFrame({"prompt": ["Hi", "Hi"], "completion": ["Tin.", "Wood."], name: list(marks)})
    assert read_pairs(frame).kept.collect().select("chosen", "rejected").rows() == [("Tin.", "Wood.")]


@pytest.mark.parametrize("name", ["chosen", "accepted", "preferred", "is_correct", "thumbs_up"])
def test_true_and_false_say_which_single_replies_are_good_whatever_texts_would_be_there(name):
    frame = pl.DataFrame({"prompt": ["Hi", "Hi"], "response": ["Tin.", "Wood."], name: [True, False]})
    assert read_pairs(frame).kept.collect().select("chosen", "rejected").rows() == [("Tin.", "Wood.")]
    both = {"prompt": ["Hi"], "chosen": ["Tin."], "rejected": ["Wood."], **({name: [True]} if name != "chosen" else {})}
    assert read_pairs(pl.DataFrame(both)).kept.collect()["chosen"].to_list() == ["Tin."]


def test_an_unknown_mark_is_refused_by_name_and_scores_written_as_texts_are_numbers():
    frame = pl.DataFrame({"prompt": ["Hi", "Hi"], "response": ["Tin.", "Wood."], "helpfulness": ["10", "9"]})
    assert read_pairs(frame).kept.collect()["chosen"].to_list() == ["Tin."]
    for name in ("label", "rating"):
        with pytest.raises(InputError, match=f"the column {name} holds 'meh m.*…'; write true for a good reply"):
            read_pairs(frame.rename({"helpfulness": name}).with_columns(pl.lit("meh " * 99).alias(name)))


def test_questions_and_answers_in_lists_are_told_as_prompt_and_replies():
    """As the arena's files of 55,000 have them; where earlier answers differ the replies are to other prompts."""
    rounds = [["Hi"], ["Hi", "Why?"]], [["Tin."], ["Yo", "So."]], [["Wood."], ["Ho", "No."]]
    cells = ([json.dumps(texts) for texts in column] for column in rounds)
    frame = pl.DataFrame(dict(zip(("prompt", "response_a", "response_b"), cells, strict=True)) | {"winner": ["a", "b"]})
    found = read_pairs(frame)
    assert found.kept.collect().select("chosen", "rejected").rows() == [("Tin.", "Wood.")]
    assert found.reasons() == {"prompts_differ": 1}
    assert found.reading.parts[0].columns["prompt"] == ("prompt",)


def test_questions_that_nobody_has_answered_yet_are_no_replies():
    """Their label is the choice that is right, and no mark of a reply."""
    frame = pl.DataFrame({"question": ["Hi", "Why?"], "answer": [None, None], "label": ["A", "C"]})
    with pytest.raises(InputError, match="no pairs can be read from its columns"):
        read_pairs(frame)


@pytest.mark.parametrize("name", ["ranking", "losses", "ranks"])
def test_ranks_beside_replies_and_replies_that_nothing_ranks(name):
    frame = pl.DataFrame({"prompt": ["Hi"], "responses": [["So.", "Tin.", "Wood."]], name: [[2, 1, 3]]})
    assert read_pairs(frame).kept.collect().select("chosen", "rejected").rows() == [("Tin.", "Wood.")]
    assert not {"score_chosen", "model_chosen"} & {*read_pairs(frame).kept.collect_schema()}, "nobody gave any"
    with pytest.raises(InputError, match="responses is a list of replies, and no column says which is better"):
        read_pairs(frame.drop(name))


def test_a_place_behind_the_last_of_a_list_beside_a_zero_is_refused_with_the_question():
    frame = pl.DataFrame({"prompt": ["Hi"] * 3, "responses": [["Tin.", "Wood."]] * 3, "label": [1, 0, 2]})
    with pytest.raises(InputError, match="the column label holds 0 to 2, and may be counted from 0 or from 1"):
        read_pairs(frame)


@pytest.mark.parametrize(
    ("how", "pick", "chosen"), [({}, 0, "Wood."), ({"label": "best"}, 0, "Tin."), ({}, "t", "Tin.")]
)
def test_a_choice_that_is_named_wins_over_scores_and_a_tie_is_no_id(how, pick, chosen):
    replies = [{"text": "Tin.", "id": "t", "score": 1}, {"text": "Wood.", "id": "w", "score": 5}]
    replies = [{**one, "score": None} if pick == "t" else one for one in replies]
    frame = pl.DataFrame({"prompt": ["Hi", "Ho"], "responses": [replies] * 2, "best": [pick, "tie" if pick else 0]})
    assert {*read_pairs(frame, how=How(columns=how)).kept.collect()["chosen"]} == {chosen}


def test_replies_in_three_columns_are_told_of_and_carried_along_no_more():
    row = {f"{name}_{n}": value for n in (1, 2, 3) for name, value in (("response", "Tin." * n), ("score", n))}
    found = read_pairs(pl.DataFrame([{"prompt": "Hi", **row}]))
    assert found.reading.parts[0].columns["chosen"] == ("response_1", "response_2", "response_3")
    assert "response_1" not in found.kept.collect_schema()


def test_scores_are_known_though_a_file_begins_with_many_ties():
    texts = [[{"text": "Tin.", "score": 3}, {"text": "Wood.", "score": score}] for score in (*[3] * 30, 1)]
    found = read_pairs(pl.DataFrame({"prompt": ["Hi"] * 31, "completions": texts}))
    assert found.kept.collect().select("score_chosen", "score_rejected").rows() == [(3.0, 1.0)]


@pytest.mark.parametrize("names", [("score_chosen", "score_rejected"), ("chosen-rating", "rejected-rating")])
@pytest.mark.parametrize(("low", "said"), [([1, 1, 5], 2), ([1, 5, 5], 0)])
def test_scores_that_speak_for_most_rejected_replies_are_warned_of(names, low, said):
    pairs = {"prompt": ["Hi", "Yo", "Ho"], "chosen": ["Tin."] * 3, "rejected": ["Wood."] * 3}
    found = read_pairs(pl.DataFrame({**pairs, names[0]: low, names[1]: [3, 3, 3]}))
    told = f"{names[0]} is below {names[1]} in {said} of the first 3 rows, though chosen is to be the better reply"
    assert found.reading.parts[0].warnings == ((told,) if said else ())
