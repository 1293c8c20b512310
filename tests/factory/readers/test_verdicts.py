"""Which reply is better: by whatever a file has that says it, by all values of a column, or refused with the way on."""

import json

import polars as pl
import pytest

from factory.errors import InputError
from factory.readers import read_pairs, read_prompts
from tests.pairs import user

ONE = {"prompt": "Hi", "response_a": "one", "response_b": "two"}


def written(path, *rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def chosen(given):
    return read_pairs(given).kept.collect()["chosen"].to_list()


def test_what_a_label_means_is_decided_by_the_whole_file_however_its_rows_are_parted(tmp_path):
    """Rows are parted by what their cells are: here a prompt that is a text, one that is messages, one with context."""
    rows = [{**ONE, "label": 1}, {**ONE, "prompt": [user("Hi")], "label": 1}, {**ONE, "label": 0}]
    more = [{"question": "Ho", **{k: v for k, v in ONE.items() if k != "prompt"}, "label": 1}]
    assert chosen(written(tmp_path / "x.jsonl", *rows, *more)) == ["two", "one", "two", "two"]
    assert sorted(chosen(written(tmp_path / "y.jsonl", *reversed([*rows, *more])))) == ["one", "two", "two", "two"]


def test_shards_of_a_folder_are_read_alike(tmp_path):
    for place, label in enumerate((1, 0, 1)):
        written(tmp_path / f"shard{place}.jsonl", {**ONE, "label": label})
    assert chosen(tmp_path) == ["two", "one", "two"]
    with pytest.raises(InputError, match=r"holds 1, so that 1 can be the first reply or the second"):
        chosen(tmp_path / "shard0.jsonl")


REFUSED = {
    "no verdict": (ONE, "no column of it says which of response_a, response_b is better; name it, as in --columns lab"),
    "three replies": ({**ONE, "response_c": "x", "winner": "c"}, "response_a, response_b, response_c is better"),
    "a rank without its reply": ({**ONE, "rank_a": 1, "rank_b": 2, "rank_c": 3}, "no column of it says which"),
    "a word that is no reply": ({**ONE, "winner": "blue"}, "the column winner holds 'blue', which names neither respo"),
    "an empty verdict": (
        {**ONE, "winner": None, "label": 1},
        "the column winner, .*is empty; name",
    ),
    "true or false": ({**ONE, "label": True}, "the column label is true or false, and either can mean the first"),
    "strengths of which none is below 0": (
        {**ONE, "overall_preference": 2},
        "without one below 0 they can be places or",
    ),
    "candidates without a score": ({"prompt": "Hi", "responses": [{"text": "a"}, {"text": "b"}]}, "in no row does"),
    "an order or ranks": ({"prompt": "Hi", "responses": [*"abc"], "ranking": [2, 0, 1]}, "in no row does ranking say"),
    "ratings that are words": ({"prompt": "Hi", "responses": ["a", "b"], "ranking": ["B", "A"]}, "in no row does rank"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_file_in_which_nothing_is_known_to_say_it_is_refused_in_a_sentence(name, tmp_path):
    row, sentence = REFUSED[name]
    with pytest.raises(InputError, match=sentence):
        read_pairs(written(tmp_path / "x.jsonl", row))


DEGREES = {
    "preference": [(2, 6, 4), (1, 5, 3), (1, 4, 2), (0.2, 0.9), (0.0, 0.3, 1.0), (0, 1, 1.7), (1, 2, 3)],
    "annotator1": [(1, 4), (0, 3)],
    "label": [(1, 3), (0, 1, 5)],
}


@pytest.mark.parametrize(("name", "values"), [(name, values) for name, every in DEGREES.items() for values in every])
def test_degrees_are_never_taken_for_places(name, values, tmp_path):
    """Of degrees from 1 to 7, 2 speaks for the first reply; taken for a place it would be the second."""
    file = written(tmp_path / "x.jsonl", *({**ONE, name: value} for value in values))
    with pytest.raises(InputError, match=f"the column {name} holds .* degrees of which either end speaks for the fir"):
        read_pairs(file)


READ = {
    "a sentence": {**ONE, "preference": "Response B is slightly better"},
    "a word with its degree": {**ONE, "winner": "B-is-clearly-better"},
    "one of several replies called chosen": {"prompt": "Hi", "responses": ["two", "one"], "chosen": 0, "rejected": 1},
    "a choice that is counted from 1": {"prompt": "Hi", "responses": ["one", "two"], "choice": 2},
    "a choice by letter": {"prompt": "Hi", "responses": ["one", "two"], "choice": "B"},
    "a chosen text and a list of rejected ones": {"prompt": "Hi", "chosen": "two", "rejected": ["one", "none"]},
    "chosen by its column": {**ONE, "chosen": "response_b", "rejected": "response_a"},
    "ranks": {**ONE, "rank_a": 2, "rank_b": 1},
    "scores named after their replies": {**ONE, "response_a_score": 1, "response_b_score": 2},
    "a label of gold": {**ONE, "gold_label": "B"},
    "names in other ways of writing": {"User Prompt": "Hi", "Response A": "one", "Response-B": "two", "Winner": "B"},
    "scores in another way of writing": {
        "Prompt": "Hi",
        "Response A": "one",
        "Response B": "two",
        "Score A": 1,
        "Score B": 2,
    },
    "models in another way of writing": {
        "Prompt": "Hi",
        "Response A": "one",
        "Response B": "two",
        "Model A": "old",
        "Model B": "new",
        "Winner": "new",
    },
    "an instruction of the judge's beside the one that was judged": {
        "orig_instruction": "Hi",
        "orig_response_A": "one",
        "orig_response_B": "two",
        "orig_preference": "B",
        "instruction": "Judge these: one, two.",
    },
}


@pytest.mark.parametrize("name", READ)
def test_a_verdict_in_columns_says_which_reply_is_better(name, tmp_path):
    for given in (written(tmp_path / "x.jsonl", READ[name]), pl.DataFrame([READ[name]])):
        (pair,) = read_pairs(given).kept.collect().to_dicts()
        assert (pair["prompt"], pair["chosen"], pair["rejected"]) == ([user("Hi")], "two", "one")


def test_single_replies_are_paired_by_a_mark_of_safety_or_a_rank(tmp_path):
    both = [{"prompt": "Hi", "response": text} for text in ("one", "two")]
    safe = [{**row, "is_safe": row["response"] == "two", "category": {"x": False}} for row in both]
    ranked = [{**row, "rank": 2 - place} for place, row in enumerate(both)]
    for rows in (safe, ranked):
        assert chosen(written(tmp_path / "x.jsonl", *rows)) == ["two"]


def test_answers_of_a_tree_that_rank_alike_or_hang_in_the_air_are_set_aside_and_its_roots_are_prompts(tmp_path):
    def message(name, parent, role, rank=None):
        return {"message_id": name, "parent_id": parent, "role": role, "text": name, "rank": rank}

    rows = [
        *(message("r", None, "prompter"), message("a", "r", "assistant", 1), message("b", "r", "assistant", 0)),
        *(message("q", "b", "prompter"), message("c", "q", "assistant", 0), message("d", "q", "assistant", 0)),
        *(message("e", "gone", "assistant", 0), message("s", "t", "assistant", 1), message("t", "s", "assistant", 0)),
    ]
    file = written(tmp_path / "x.jsonl", *rows)
    read = read_pairs(file)
    (pair,) = read.kept.collect().to_dicts()
    assert (pair["prompt"], pair["chosen"], pair["rejected"]) == ([user("r")], "b", "a")
    assert read.reasons() == {"alone": 6}
    assert read_prompts(file).kept["prompt"].to_list() == [[user("r")]]
    pl.DataFrame(rows).write_csv(tmp_path / "x.csv")
    assert read_pairs(tmp_path / "x.csv").kept.collect()["chosen"].to_list() == ["b"]
