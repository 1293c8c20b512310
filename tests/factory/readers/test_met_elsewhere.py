"""Layouts that public data sets and trainers have, and what is right of each: pairs, what is set aside, warnings."""

import gzip
from typing import Any, NamedTuple

import polars as pl
import pytest

from factory.errors import InputError
from factory.readers import how_to_read, read_pairs
from tests.reading import read

Row = dict[str, Any]


class Met(NamedTuple):
    rows: list[Row]
    pairs: set[tuple[str, str]]
    aside: tuple[str, ...] = ()


def asked(**rest: Any) -> Row:
    return {"prompt": "Hi", **rest}


def numbered(stem: str, start: int, many: int) -> Row:
    return {f"{stem}_{start + place}": f"{place}." for place in range(many)}


def talk(reply: str) -> list[Row]:
    return [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": reply}]


def listed(ids: list[Any], best: Any) -> Row:
    texts = zip(ids, ("one", "two", "three"), strict=False)
    return asked(responses=[{"id": called, "text": text} for called, text in texts], best=best)


def message(number: int, parent: int | None, rank: int | None, *, deleted: bool = False) -> Row:
    role = "prompter" if parent is None else "assistant"
    about = {"message_id": str(number), "parent_id": None if parent is None else str(parent), "role": role}
    return {**about, "text": f"{number}.", "rank": rank, "deleted": deleted}


MET = {
    "more than nine replies, from 1": Met(
        [asked(**numbered("response", 1, 12), **{f"score_{one}": one for one in range(1, 13)})], {("11.", "0.")}
    ),
    "more than nine replies, from 0": Met(
        [asked(**numbered("response", 0, 12), **{f"rank_{one}": one for one in range(12)})], {("0.", "11.")}
    ),
    "H2O LLM Studio": Met([asked(output="Tin.", rejected_output="Wood.")], {("Tin.", "Wood.")}),
    "models beside answers": Met(
        [asked(model_output="m", output="Tin.", rejected_output="Wood.", notes="n")], {("Tin.", "Wood.")}
    ),
    "Turbo Alignment, KTO": Met(
        [
            {"context": talk("a")[:1], "answer": {"role": "bot", "content": text}, "is_desirable": good}
            for text, good in (("Tin.", True), ("Wood.", False))
        ],
        {("Tin.", "Wood.")},
    ),
    "Search Arena": Met([{"winner": "model_b", "messages_a": talk("a"), "messages_b": talk("b")}], {("b", "a")}),
    "HelpSteer 3, edits": Met(
        [{"context": talk("a")[:1], "good_edited_response": "Tin.", "bad_edited_response": "Wood."}],
        {("Tin.", "Wood.")},
    ),
    "two texts": Met(
        [asked(text1="a", text2="b", preference=1), asked(text1="c", text2="d", preference=2)], {("a", "b"), ("d", "c")}
    ),
    "the better one by its name, or a tie": Met(
        [
            asked(response_1="a", response_2="b", preferred_response=said)
            for said in ("Response 2", "Tie", "response_1")
        ],
        {("b", "a"), ("a", "b")},
        ("tie",),
    ),
    "annotators of a spreadsheet": Met(
        [
            {"Prompt": "Hi", "Response A": "a", "Response B": "b", "Annotator 1": one, "Annotator 2": two}
            for one, two in (("B", "B"), ("A", "B"))
        ],
        {("b", "a")},
        ("tie",),
    ),
    "distilabel's Orca, whose ties have a status": Met(
        [asked(chosen="a", rejected="b", status=said) for said in ("tie", "unchanged")], {("a", "b")}, ("tie",)
    ),
    "ids that are places too": Met([listed([2, 0, 1], 2), listed([2, 0, 1], 0)], {("one", "two"), ("two", "one")}),
    "ids that are no places": Met([listed(["r1", "r2"], "r2"), listed([7, 8], 7)], {("two", "one"), ("one", "two")}),
    "places beside ids": Met([listed([1, 2], 1), listed([1, 2], 0)], {("two", "one"), ("one", "two")}),
    "PaddleNLP": Met(
        [
            {"system": "Be brief.", "src": ["Hi"], "tgt": [], "response": [["a"], ["b"]], "sort": [1, 0]},
            {"src": ["Hi", "Ho"], "tgt": ["Yo"], "response": ["c", "d"], "sort": [0, 1]},
            {"src": "Hi", "tgt": "", "response": ["e", "f"], "sort": [1, 1]},
        ],
        {("a", "b"), ("d", "c")},
        ("tie",),
    ),
    "marks of replies in a list": Met(
        [asked(responses=[{"text": "a", "is_correct": False}, {"text": "b", "is_correct": True}])], {("b", "a")}
    ),
    "what a forum has in place of a text": Met(
        [
            asked(chosen="[deleted]", rejected="b"),
            asked(chosen="a", rejected="[removed]"),
            asked(chosen="a", rejected="b"),
            {"prompt": "[removed]", "chosen": "a", "rejected": "b"},
        ],
        {("a", "b")},
        ("empty_chosen", "empty_rejected", "empty_prompt"),
    ),
    "a deleted answer was the best": Met(
        [message(1, None, None), message(2, 1, 0, deleted=True), message(3, 1, 1), message(4, 1, 2)],
        {("3.", "4.")},
        ("unreadable",),
    ),
    "deleted rows": Met(
        [asked(chosen="a", rejected="b", is_deleted=1), asked(chosen="c", rejected="d", is_deleted=0)],
        {("c", "d")},
        ("unreadable",),
    ),
    "ties that are marked": Met(
        [asked(chosen="a", rejected="b", is_tie=True), asked(chosen="c", rejected="d", is_tie=False)],
        {("c", "d")},
        ("tie",),
    ),
    "ties that are marked beside a winner": Met(
        [asked(response_a="a", response_b="b", winner="A", tie=one) for one in (1, 0)], {("a", "b")}, ("tie",)
    ),
    "a tie with blanks": Met(
        [asked(response_a="a", response_b="b", winner=said) for said in ("A > B", "A = B")], {("a", "b")}, ("tie",)
    ),
    "several scores of one reply": Met(
        [
            asked(response=text, score=score)
            for text, scores in (("a", (2, 2, 5)), ("b", (4, 4, 4)), ("c", (0,)))
            for score in scores
        ],
        {("b", "c")},
    ),
    "several scores that would turn the best and the worst": Met(
        [asked(response=text, score=score) for text, score in (("a", 5), ("a", 0), ("b", 3), ("b", 4))], {("b", "a")}
    ),
}


@pytest.mark.parametrize("name", MET)
def test_a_layout_met_elsewhere_gives_its_pairs(name, tmp_path):
    rows, pairs, aside = MET[name]
    kept, rejected = read(tmp_path, *rows)
    assert {(row["chosen"], row["rejected"]) for row in kept} == pairs
    assert tuple(row["reason"] for row in rejected) == aside


REFUSED = {
    "a label beside two texts": ([asked(text_1="a", text_2="b", label=1)], "says which of text_1, text_2"),
    "lists of several lengths, always the last": (
        [asked(responses=["a", "b"], best=1), asked(responses=["a", "b", "c"], best=2)],
        "may be counted from 0 or from 1",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_may_be_meant_otherwise_is_refused(name, tmp_path):
    rows, sentence = REFUSED[name]
    with pytest.raises(InputError, match=sentence):
        read(tmp_path, *rows)


def test_scores_that_are_the_same_are_counted_in_a_warning():
    rows = pl.DataFrame([asked(chosen="a", rejected="b", score_chosen=5, score_rejected=one) for one in (5, 3)])
    (part,) = read_pairs(rows).parts
    assert any(
        said.startswith("score_chosen is the same as score_rejected in 1 of the first 2") for said in part.warnings
    )


def test_an_empty_file_of_replies_and_a_pick_has_no_pairs():
    types = {"prompt": pl.String, "responses": pl.List(pl.String), "winner": pl.Int64}
    assert read_pairs(pl.DataFrame(schema=types)).kept.collect().is_empty()


@pytest.mark.parametrize("more", [{}, {"score": 9}, {"Score": 9}])
def test_a_column_of_scores_that_the_user_names_decides_whatever_others_are_called(more):
    rows = [asked(response="a", mine=3, **more), asked(response="b", mine=1, **dict.fromkeys(more, 10))]
    read_so = read_pairs(pl.DataFrame(rows), how=how_to_read({"columns": "score=mine"})).kept.collect()
    assert read_so.select("chosen", "rejected").rows() == [("a", "b")]


def test_a_filled_template_is_not_followed_by_its_context_again():
    context = "Whales are the largest animals that live in the sea."
    row = {"prompt": f"{context}\n\nHow large?", "context": context, "question": "How large?"}
    (pair,) = read_pairs(pl.DataFrame([{**row, "chosen": "a", "rejected": "b"}])).kept.collect().to_dicts()
    assert [turn["content"] for turn in pair["prompt"]] == [row["prompt"]]


def test_outputs_that_read_as_lists_are_the_replies_that_they_are():
    rows = [{"instruction": "Reverse.", "output": text} for text in ('["a", "b"]', "['a', 'b']", "Tin.")]
    with pytest.raises(InputError, match="no pairs can be read from its columns"):
        read_pairs(pl.DataFrame(rows))


def test_two_outputs_are_a_pair_where_most_rows_have_two_and_refused_where_most_have_not():
    rows = [{"instruction": f"Name {n}.", "output": ["a", "b", "c"][: n + 2]} for n in (0, 0, 1)]
    assert read_pairs(pl.DataFrame(rows)).kept.collect().select("chosen", "rejected").rows() == [("a", "b")] * 2
    with pytest.raises(InputError, match="output is a list of replies, and no column says which is better"):
        read_pairs(pl.DataFrame([rows[0], rows[2], rows[2]]))


@pytest.mark.parametrize("before", ["", "\n\n", "Be kind.\n\n"])
def test_replies_that_hold_the_dialogue_of_their_prompt_again_are_what_they_add(before):
    prompt = f"{before}Human: Hi\n\nAssistant: Yo\n\nHuman: Why?\n\nAssistant:"
    row = {"prompt": prompt, "chosen": f"{prompt} Tin.", "rejected": f"{prompt} Wood."}
    (pair,) = read_pairs(pl.DataFrame([row])).kept.collect().to_dicts()
    assert [turn["content"] for turn in pair["prompt"]][-3:] == ["Hi", "Yo", "Why?"]
    assert (pair["chosen"], pair["rejected"]) == ("Tin.", "Wood.")


def test_steps_may_stand_where_lists_of_replies_do_and_the_reading_says_so():
    rows = pl.DataFrame([asked(chosen=["one", "two"], rejected=["three", "four"])])
    assert "lists of whole replies, of which one of each is taken" in " ".join(read_pairs(rows).parts[0].warnings)


DIALOGUES = {
    "Human: Hi\nAssistant: Yo\nHuman: Ho\nAssistant:": ["Hi", "Yo", "Ho"],
    "User:Hi\nAssistant:": ["Hi"],
    "Human: Hi\nAssistant: Yo\nHuman: Ho": ["Hi", "Yo", "Ho"],
    "Human: Hi": ["Hi"],
    "User:\nHi\nUser: Yo\n\nAssistant: So\n\nUser: Ho": ["Hi\nUser: Yo", "So", "Ho"],
    "\n\nHuman: Read:\nUser: Hi\nAssistant: Yo\n\nAssistant:": ["Read:\nUser: Hi\nAssistant: Yo"],
    "User: Hi": ["User: Hi"],
}


@pytest.mark.parametrize("text", DIALOGUES)
def test_a_prompt_that_is_a_dialogue_of_lines_is_taken_apart(text):
    (pair,) = read_pairs(pl.DataFrame([{"prompt": text, "chosen": "a", "rejected": "b"}])).kept.collect().to_dicts()
    assert [turn["content"] for turn in pair["prompt"]] == DIALOGUES[text]


def test_a_request_in_plain_words_is_the_prompt():
    (pair,) = read_pairs(pl.DataFrame([{"request": "Why?", "chosen": "a", "rejected": "b"}])).kept.collect().to_dicts()
    assert [turn["content"] for turn in pair["prompt"]] == ["Why?"]


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "Why?", "candidate_a": "a", "candidate_b": "b", "winner": "a"},
        {"prompt": "Why?", "selected": "a", "rejected": "b"},
        {"prompt": "Why?", "generation_1": "b", "generation_2": "a", "winner": "generation_2"},
        {"conversation_input": [{"role": "user", "content": "Why?"}], "chosen": "a", "rejected": "b"},
    ],
)
def test_columns_by_these_names_are_the_prompt_and_its_replies(row):
    (pair,) = read_pairs(pl.DataFrame([row])).kept.collect().to_dicts()
    assert (pair["chosen"], pair["rejected"]) == ("a", "b")


def test_two_dialogues_of_lines_are_read_as_those_with_blank_lines(tmp_path):
    kept, _ = read(tmp_path, {side: f"Human: Hi?\nAssistant: {side}" for side in ("chosen", "rejected")})
    assert [(row["prompt"][0]["content"], row["chosen"], row["rejected"]) for row in kept] == [
        ("Hi?", "chosen", "rejected")
    ]


@pytest.mark.parametrize("rest", ['"to": "Al"}', '"to": "Al", "message": "Hi"}'])
@pytest.mark.parametrize("key", ["from", "role"])
def test_an_answer_in_json_with_a_key_of_chat_messages_is_the_text_that_it_is(key, rest):
    sides = {side: f'{{"{key}": "{side}", {rest}' for side in ("chosen", "rejected")}
    (pair,) = read_pairs(pl.DataFrame([{"prompt": "Why?", **sides}])).kept.collect().to_dicts()
    assert {side: pair[side] for side in sides} == sides


def test_a_translated_speaker_is_no_part_of_the_replies(tmp_path):
    kept, _ = read(tmp_path, {side: f"\n\n人类：你好吗？\n\n助手：{side}" for side in ("chosen", "rejected")})
    assert [(row["chosen"], row["rejected"]) for row in kept] == [("chosen", "rejected")]


def test_a_question_about_rows_of_one_type_shows_one_of_them(tmp_path):
    rows = [asked(completion=text, label=mark) for text, mark in (("a", True), ("b", False), ("c", "maybe"))]
    with pytest.raises(InputError, match=r'holds .maybe.*so in rows such as .*"completion":"c"'):
        read(tmp_path, *rows)


CLASSES = {
    "the second one first": ("winner", ["model_b", "model_a"], [("b", "a"), ("c", "d")]),
    "a tie too": ("winner", ["tie", "b"], [("d", "c")]),
    "no words for replies": ("label", ["first class", "business"], [("a", "b"), ("d", "c")]),
}


@pytest.mark.parametrize("form", ["dataset", "saved", "parquet", "gz"])
@pytest.mark.parametrize("name", CLASSES)
def test_numbers_that_stand_for_names_are_read_as_these(name, form, tmp_path):
    datasets = pytest.importorskip("datasets")
    column, names, pairs = CLASSES[name]
    texts = {"prompt": ["Hi", "Ho"], "response_a": ["a", "c"], "response_b": ["b", "d"]}
    made = datasets.Dataset.from_dict({**texts, column: [0, 1]}).cast_column(column, datasets.ClassLabel(names=names))
    if form == "saved":
        made.save_to_disk(str(tmp_path / "x"))
    elif form != "dataset":
        made.to_parquet(str(tmp_path / "x.parquet"))
    if form == "gz":
        (tmp_path / "x.parquet.gz").write_bytes(gzip.compress((tmp_path / "x.parquet").read_bytes()))
    given = {"dataset": made, "saved": tmp_path / "x"}.get(form, tmp_path / f"x.parquet{'.gz' * (form == 'gz')}")
    assert read_pairs(given).kept.collect().select("chosen", "rejected").rows() == pairs


def test_replies_that_annotators_preferred_both_ways_are_counted_in_a_warning():
    judged = [("a", "b", "A", 1), ("b", "a", "A", 1), ("a", "b", "tie", 1), ("a", "b", "B", 2), ("c", "d", "A", 1)]
    rows = [asked(response_a=a, response_b=b, winner=said, turn=turn) for a, b, said, turn in judged]
    (said,) = read_pairs(pl.DataFrame(rows)).parts[0].warnings
    assert said.startswith("2 rows hold replies to a prompt of which other rows prefer the other one")


@pytest.mark.parametrize(
    ("more", "named"),
    [
        ({"prompt": "Hi", "id": "2", "parent_id": "1"}, ["parent_id"]),
        ({"trajectory": talk("a")[:1], "id": "2", "parent_id": "1"}, []),
        ({"prompt": "Hi", "contexts": ["a"], "chat_template_kwargs": {"custom_instructions": "Be brief."}}, None),
        ({"prompt": "Hi", "partial_solution": "So far", "starter_code": "def", "previous_steps": "One"}, None),
    ],
)
def test_what_may_go_before_the_prompt_is_named(more, named):
    said = read_pairs(pl.DataFrame([{"chosen": "a", "rejected": "b", **more}])).parts[0].warnings
    wanted = [name for name in more if name != "prompt"] if named is None else named
    assert said == tuple(f"{name} is carried along, though by its name it may belong to the pair" for name in wanted)
