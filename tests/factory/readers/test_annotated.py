"""Exports of annotation tools: who is asked decides which reply is better, or the row or the file says why not."""

import json
import random
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from factory.errors import InputError
from factory.readers import how_to_read, read_pairs, read_prompts
from tests.bad_data import zstandard

ONE, TWO = "response1", "response2"
Row = dict[str, Any]


def nested(number: int, votes: list[Any], question: str = "preference", names: tuple[str, str] = (ONE, TWO)) -> Row:
    fields = {"prompt": f"Q{number}", names[0]: f"one {number}", names[1]: f"two {number}"}
    said = {question: [{"value": vote, "user_id": f"u{place}"} for place, vote in enumerate(votes)]} if votes else {}
    row = {"id": f"r{number}", "fields": fields, "metadata": {}, "suggestions": {}, "responses": said}
    return {**row, "vectors": {}, "_server_id": "s"}


def flat(number: int, votes: list[Any], question: str = "preference", names: tuple[str, str] = (ONE, TWO)) -> Row:
    fields = {"prompt": f"Q{number}", names[0]: f"one {number}", names[1]: f"two {number}"}
    users = [f"u{place}" for place in range(len(votes))]
    told = {"": votes or None, ".users": users or None, ".status": ["submitted"] * len(votes) or None}
    return {"id": f"r{number}", **fields, **{f"{question}.responses{end}": one for end, one in told.items()}}


def task(
    number: int, votes: list[Any], question: str = "comparison", names: tuple[str, str] = ("answer1", "answer2")
) -> Row:
    data = {"prompt": f"Q{number}", names[0]: f"one {number}", names[1]: f"two {number}"}
    about = {"from_name": question, "to_name": question, "type": "pairwise"}
    results = [[{"value": {"selected": vote}, **about}] if vote else [] for vote in votes]
    annotations = [{"completed_by": who, "was_cancelled": False, "result": one} for who, one in enumerate(results)]
    return {"id": number, "data": data, "annotations": annotations, "predictions": []}


def short(
    number: int, votes: list[Any], question: str = "comparison", names: tuple[str, str] = ("answer1", "answer2")
) -> list[Row]:
    data = {"prompt": f"Q{number}", names[0]: f"one {number}", names[1]: f"two {number}"}
    about = {"created_at": "x", "updated_at": "y", "lead_time": 2.5}
    said = [{question: [{"selected": vote}]} if vote else {} for vote in votes]
    return [
        {**data, "id": number, **one, "annotator": who, "annotation_id": who, **about} for who, one in enumerate(said)
    ]


def first(number: int, votes: list[Any], question: str = "preference", names: tuple[str, str] = (ONE, TWO)) -> Row:
    """As version 1 of Argilla has it, with an answer that its author discarded."""
    given = [(vote, "submitted") for vote in votes] + [(names[0], "discarded")]
    said = [{"user_id": "u", "values": {question: {"value": vote}}, "status": how} for vote, how in given]
    offered = [{"question_name": question, "value": names[0]}]
    return {**nested(number, [], names=names), "responses": said, "suggestions": offered}


def hub(number: int, votes: list[Any], question: str = "preference", names: tuple[str, str] = (ONE, TWO)) -> Row:
    """As version 1 of Argilla writes it to the Hub."""
    given = [(vote, "submitted") for vote in votes] + [(names[0], "discarded")]
    said = [{"user_id": "u", "value": vote, "status": how} for vote, how in given]
    offered = {f"{question}-suggestion": names[0], f"{question}-suggestion-metadata": {"score": None, "agent": None}}
    fields = nested(number, [], names=names)["fields"]
    return {**fields, question: said, **offered, "external_id": None, "metadata": "{}"}


class Form(NamedTuple):
    make: Any
    words: tuple[str, str]
    """What names the first and the second reply."""
    formats: tuple[str, ...]


FORMS = {
    "nested": Form(nested, (ONE, TWO), ("json", "jsonl")),
    "flat": Form(flat, (ONE, TWO), ("json", "jsonl", "parquet", "zst")),
    "first": Form(first, (ONE, TWO), ("json", "jsonl")),
    "hub": Form(hub, (ONE, TWO), ("jsonl", "parquet")),
    "task": Form(task, ("left", "right"), ("json", "jsonl", "zst")),
    "short": Form(short, ("left", "right"), ("json", "jsonl", "csv")),
}


def rows_of(form: Form, votes: list[list[Any]]) -> list[Row]:
    made = [form.make(number, some) for number, some in enumerate(votes)]
    return [row for one in made for row in (one if isinstance(one, list) else [one])]


def written(rows: list[Row], path: Path) -> Path:
    lines = "\n".join(map(json.dumps, rows))
    match path.suffix:
        case ".parquet":
            pl.DataFrame(rows, infer_schema_length=None).write_parquet(path)
        case ".csv":
            names = list(dict.fromkeys(name for row in rows for name in row))
            cells = [
                {name: json.dumps(one) if isinstance(one, list) else one for name, one in row.items()} for row in rows
            ]
            pl.DataFrame(cells, infer_schema_length=None).select(names).write_csv(path)
        case ".zst":
            path.write_bytes(zstandard(lines.encode()))
        case ".json":
            path.write_text(json.dumps(rows))
        case _:
            path.write_text(lines)
    return path


def outcome(path: Path, columns: str = "") -> tuple[dict[str, str], Counter[str]]:
    """Prompt to which reply was chosen, and how many rows were set aside by reason."""
    read = read_pairs(path, how=how_to_read({"columns": columns}) if columns else None)
    kept = read.kept.collect()
    assert all(
        chosen.split()[1] == rejected.split()[1] for chosen, rejected in kept.select("chosen", "rejected").rows()
    )
    assert all(chosen != rejected for chosen, rejected in kept.select("chosen", "rejected").rows())
    pairs = {turns[-1]["content"]: chosen.split()[0] for turns, chosen in kept.select("prompt", "chosen").rows()}
    assert len(pairs) == kept.height
    return pairs, Counter(read.rejected.collect()["reason"].to_list())


def gold(votes: list[Any], form: Form) -> str | None:
    """What most say; None where nobody says anything, or they are split."""
    counts = Counter(vote for vote in votes if vote).most_common(2)
    if not counts or (len(counts) == 2 and counts[0][1] == counts[1][1]) or counts[0][0] not in form.words:
        return None
    return ("one", "two")[form.words.index(counts[0][0])]


@pytest.mark.parametrize(("name", "kind"), [(name, kind) for name, form in FORMS.items() for kind in form.formats])
@settings(max_examples=4, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_what_most_annotators_say_is_read_and_nothing_else(name, kind, seed, tmp_path_factory):
    form, draw = FORMS[name], random.Random(seed)
    words = [*form.words, *(("tie",) if name not in ("task", "short") else (None,))]
    votes = [[form.words[0]], [form.words[1]]]
    votes += [draw.choices(words, k=draw.randint(1, 4)) for _ in range(draw.randint(0, 8))]
    path = written(rows_of(form, votes), tmp_path_factory.mktemp("x") / f"x.{'jsonl.' if kind == 'zst' else ''}{kind}")
    pairs, aside = outcome(path)
    wanted = {f"Q{number}": said for number, some in enumerate(votes) if (said := gold(some, form))}
    assert pairs == wanted
    assert aside.total() == len(votes) - len(wanted)
    assert {*aside} <= {"tie", "unreadable"}


def rank(one: int, two: int) -> list[Row]:
    return [{"value": TWO, "rank": two}, {"value": ONE, "rank": one}]


def choice(number: int, said: str) -> Row:
    row = task(number, ["left"], "preference")
    row["annotations"][0]["result"][0] |= {"value": {"choices": [said]}, "type": "choices"}
    return row


def compared(number: int, side: str, to_name: str) -> Row:
    row = task(number, [side], names=("answer1", "answer2"))
    row["annotations"][0]["result"][0]["to_name"] = to_name
    return row


STARS = nested(1, [])
GIVEN = {ONE: [5, 1, 1], TWO: [4, 4, 4]}


def shown(row: Row, **more: Any) -> Row:
    """`row` with more that annotators saw."""
    held = "fields" if "fields" in row else "data"
    return {**row, held: {**row[held], **more}}


def alone(number: int, said: str, text: str) -> Row:
    """A record of one reply, found by a search that it was near to."""
    return {**nested(number, [said], "label"), "fields": {"prompt": "Q1", "response": text}, "score": number}


READ = {
    "an answer beside what said so before": ([shown(nested(1, [TWO]), winner=ONE)], {"Q1": "two"}),
    "a ranking beside scores": ([shown(nested(1, [rank(2, 1)], "order"), score1=9, score2=1)], {"Q1": "two"}),
    "replies one by one": ([alone(1, "good", "one 1"), alone(2, "bad", "two 1")], {"Q1": "one"}),
    "the mean of stars for each": (
        [STARS | {"responses": {f"{name}_rating": [{"value": one} for one in some] for name, some in GIVEN.items()}}],
        {"Q1": "two"},
    ),
    "a ranking of two": ([nested(1, [rank(1, 2)]), nested(2, [rank(2, 1)])], {"Q1": "one", "Q2": "two"}),
    "a flat ranking": ([flat(1, [rank(2, 1)])], {"Q1": "two"}),
    "rankings against each other": ([nested(1, [rank(1, 2)]), nested(2, [rank(1, 2), rank(2, 1)])], {"Q1": "one"}),
    "a ranking of version 1": ([hub(1, [{"rank": [2, 1], "value": [ONE, TWO]}])], {"Q1": "two"}),
    "equal ranks": ([nested(1, [rank(1, 2)]), nested(2, [rank(1, 1)])], {"Q1": "one"}),
    "options by letter": (
        [nested(n, [word], names=("response_a", "response_b")) for n, word in ((1, "A"), (2, "B is better"))],
        {"Q1": "one", "Q2": "two"},
    ),
    "nobody asked yet": ([nested(1, [ONE]), nested(2, [])], {"Q1": "one"}),
    "a choice of words": ([choice(1, "Response 2"), choice(2, "Response 1")], {"Q1": "two", "Q2": "one"}),
    "left is what is compared first": (
        [compared(1, "left", "answer2,answer1"), compared(2, "right", "answer2,answer1")],
        {"Q1": "two", "Q2": "one"},
    ),
    "by record": ({"a": nested(1, [TWO]), "b": nested(2, [ONE])}, {"Q1": "two", "Q2": "one"}),
    "by column": ({name: [one] for name, one in nested(1, [TWO]).items()}, {"Q1": "two"}),
    "a question in words of its own": ([nested(1, [TWO], "which one")], {"Q1": "two"}),
}


@pytest.mark.parametrize("name", READ)
def test_annotations_are_read_as_what_most_annotators_said(name, tmp_path):
    rows, wanted = READ[name]
    file = tmp_path / "x.json"
    file.write_text(json.dumps(rows))
    assert outcome(file, "label=which one" if "of its own" in name else "")[0] == wanted


def test_discarded_answers_and_drafts_do_not_count(tmp_path):
    rows = [flat(1, [ONE, TWO, TWO]), flat(2, [TWO])]
    rows[0]["preference.responses.status"] = ["submitted", "discarded", "draft"]
    assert outcome(written(rows, tmp_path / "x.jsonl"))[0] == {"Q1": "one", "Q2": "two"}


def test_every_answer_is_kept_beside_the_pair(tmp_path):
    read = read_pairs(written([nested(1, [ONE, TWO, TWO])], tmp_path / "x.jsonl"))
    assert read.kept.collect()["preference.answers"].to_list() == [[ONE, TWO, TWO]]
    assert "preference: what most annotators answered" in " ".join(read.parts[0].warnings)


@pytest.mark.parametrize("name", FORMS)
def test_pairs_that_were_read_are_read_again(name, tmp_path):
    """As what a filter keeps, and as another layout, with all the columns that follow."""
    rows = rows_of(FORMS[name], [[FORMS[name].words[0]] * 2, [FORMS[name].words[1]]])
    kept = read_pairs(written(rows, tmp_path / "x.jsonl")).kept.collect()
    assert not [column for column in kept.columns if column.startswith("__")]
    kept.write_parquet(tmp_path / "kept.parquet")
    kept.drop("pair_id", "prompt_id", "method").write_ndjson(tmp_path / "again.jsonl")
    for file in ("kept.parquet", "again.jsonl"):
        assert outcome(tmp_path / file) == ({"Q0": "one", "Q1": "two"}, {})


def test_prompts_and_rejected_rows_have_no_columns_of_ours(tmp_path):
    file = written([nested(1, [ONE]), nested(2, [ONE, TWO]), nested(3, [ONE])], tmp_path / "x.json")
    assert not [column for column in read_prompts(file).kept.columns if column.startswith("__")]
    assert all("__" not in row for row in read_pairs(file).rejected.collect()["row"])


SUGGESTED = nested(1, []) | {"suggestions": {"preference": {"value": TWO, "score": None, "agent": "m"}}}
SIDES = ("chosen", "rejected")
TURNED = "answered [a-z]+, but chosen and rejected would say which reply is better"
TWICE = shown(compared(1, "right", "answer1,answer2"), response1="one 1", response2="two 1")
REFUSED = {
    "scores beside a question of its own": (
        [shown(nested(1, [TWO], "topic"), score1=2, score2=1)],
        "answered topic, but score1 and score2 would say",
    ),
    "two pairs in a task": ([TWICE], "names answer2, which is not one of response1 and response2.*--columns"),
    "stars for a pair": ([nested(1, [1]), nested(2, [2])], "no column of it says which of response1, response2"),
    "yes and no": ([nested(1, ["yes"]), nested(2, ["no"])], "names neither response1 nor response2"),
    "a question that may be about anything": (
        [nested(1, [ONE], "topic")],
        "is better, unless topic does; .*label=topic",
    ),
    "a machine's suggestions alone": ([SUGGESTED], "unless preference.suggestion does; .*label=preference.suggestion"),
    "several options at once": ([nested(1, [[ONE, TWO]])], "no column of it says which"),
    "a nested pair that may be turned": (
        [nested(1, ["rejected"], names=SIDES)],
        TURNED,
    ),
    "a flat pair that may be turned": (
        [flat(1, ["rejected"], names=SIDES)],
        TURNED,
    ),
    "a task's pair that may be turned": (
        [task(1, ["right"], names=SIDES)],
        TURNED,
    ),
    "two texts without a name for replies": ([task(1, ["left"], names=("line1", "line2"))], "no pairs can be read"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_annotations_that_say_no_pair_are_refused_with_a_way_on(name, tmp_path):
    rows, sentence = REFUSED[name]
    with pytest.raises(InputError, match=sentence) as caught:
        outcome(written(rows, tmp_path / "x.json"))
    assert "--columns" in str(caught.value)


WAYS_ON = {
    "scores beside a question of its own": ("label=topic", {"Q1": "two"}),
    "a machine's suggestions alone": ("label=preference.suggestion", {"Q1": "two"}),
    "a question that may be about anything": ("label=topic", {"Q1": "one"}),
    "a nested pair that may be turned": ("first=chosen,second=rejected,label=preference", {"Q1": "two"}),
    "a flat pair that may be turned": ("chosen=chosen,rejected=rejected", {"Q1": "one"}),
    "a task's pair that may be turned": ("first=chosen,second=rejected,label=comparison", {"Q1": "two"}),
    "two texts without a name for replies": ("first=line1,second=line2,label=comparison", {"Q1": "one"}),
}


@pytest.mark.parametrize("name", WAYS_ON)
def test_the_way_on_that_is_named_leads_to_pairs(name, tmp_path):
    columns, wanted = WAYS_ON[name]
    assert outcome(written(REFUSED[name][0], tmp_path / "x.json"), columns)[0] == wanted


def test_columns_of_other_tools_are_left_alone(tmp_path):
    """Data sets of other kinds have columns that are called the same."""
    rows = [{"prompt": "Q1", "chosen": "one 1", "rejected": "two 1", "data": "a web page", "annotations": ["x"]}]
    assert outcome(written(rows, tmp_path / "x.jsonl"))[0] == {"Q1": "one"}


LETTERS = {"prompt": "Q1", "A": "one 1", "B": "two 1"}


@pytest.mark.parametrize(
    ("said", "wanted"), [("A", {"Q1": "one"}), ("B", {"Q1": "two"}), ("tie", {}), ("[[B]]", {"Q1": "two"})]
)
def test_replies_that_are_called_a_and_b(said, wanted, tmp_path):
    rows = [{**LETTERS, "verdict": said}, {**LETTERS, "prompt": "Q2", "verdict": "A"}]
    assert outcome(written(rows, tmp_path / "x.jsonl"))[0] == {**wanted, "Q2": "one"}


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        ({**LETTERS, "label": 1}, "label holds 1, which may be no verdict on A and B; write A, B or tie"),
        ({**LETTERS, "C": "x", "D": "y", "label": "B"}, "no column of it says which of A, B, C, D is better"),
        ({**LETTERS, "answer": "B"}, "no column of it says which of A, B is better"),
    ],
)
def test_letters_that_may_be_no_replies(row, sentence, tmp_path):
    with pytest.raises(InputError, match=sentence):
        outcome(written([row], tmp_path / "x.jsonl"))
