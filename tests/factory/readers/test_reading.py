"""What the readers say of their reading is what they did, and a user who knows better is heeded."""

import json

import polars as pl
import pytest

from factory.commands.trace import Trace
from factory.errors import ConfigError, InputError
from factory.readers import How, how_to_read, read_pairs, read_prompts
from factory.readers.how import ROLES
from factory.readers.reading import Part, Reading
from factory.terminal.show import trace
from tests.pairs import assistant, user

ROW = {"query": "Name a metal.", "chosen": "Tin.", "rejected": "Wood."}


def jsonl(path, *rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def only(found):
    (part,) = found.reading.parts
    return part


def test_the_reading_names_layout_columns_and_one_pair(tmp_path):
    row = {"system_prompt": "Be brief.", "instruction": "Name one:", "input": "a metal", "accepted": "Tin.", "id": 7}
    found = read_pairs(jsonl(tmp_path / "x.jsonl", {**row, "rejected": "Wood."}, {**row, "rejected": "Tin."}))
    part = only(found)
    assert (part.layout, part.files) == ("plain", (str(tmp_path / "x.jsonl"),))
    assert part.columns == {
        "prompt": ("instruction", "input"),
        "system": ("system_prompt",),
        "chosen": ("accepted",),
        "rejected": ("rejected",),
    }
    assert (part.aside, part.warnings) == (("id",), ())
    assert found.reasons() == {"identical": 1}
    reading = found.reading._replace(set_aside=found.reasons())
    assert reading.example == {
        "prompt": "[system] Be brief. Name one: a metal",
        "chosen": "Tin.",
        "rejected": "Wood.",
    }
    lines = "\n".join(reading.lines())
    for said in ("read as plain", "prompt ← instruction + input", "chosen ← accepted", "aside: id", "identical 1"):
        assert said in lines
    assert json.loads(json.dumps(reading.to_dict()))["parts"][0]["columns"]["system"] == ["system_prompt"]


def test_a_prompt_that_lies_in_the_replies_is_said_to(tmp_path):
    talks = {name: [user("Hi"), assistant(name)] for name in ("chosen", "rejected")}
    texts = {name: f"\n\nHuman: Hi\n\nAssistant: {name}" for name in ("chosen", "rejected")}
    for row in (talks, texts):
        assert only(read_pairs(jsonl(tmp_path / "x.jsonl", row))).columns["prompt"] == ("chosen", "rejected")


def test_files_that_are_read_alike_are_told_together(tmp_path):
    for name in "abcd":
        jsonl(tmp_path / f"{name}.jsonl", ROW)
    assert len(only(read_pairs(tmp_path)).files) == 4


WARNINGS = {
    "a template left": ({**ROW, "query": "What is <|im_start|>?"}, "1 texts in query hold <|im_start|>"),
    "a template taken apart": ({**ROW, "query": "<|im_start|>user\nHi<|im_end|>\n"}, r"taken apart into turns"),
    "an end token": ({**ROW, "chosen": "Tin.<|im_end|>"}, "chosen that carry a chat template (<|im_end|>) lose it"),
    "a prompt cut out": ({"chosen": "Hi\n\na", "rejected": "Hi\n\nb"}, "1 prompts are cut out"),
    "counted from 0": (
        [{"query": "Hi", "output_1": "a", "output_2": "b", "label": label} for label in (0, 1)],
        "label is counted from 0: 0 is output_1",
    ),
    "what scores": (
        {"prompt": "Hi", "answers": [{"answer": "a", "rank": 2}, {"answer": "b", "rank": 1}]},
        "replies are told apart by rank: the lower the better",
    ),
    "meaning left": ({**ROW, "reasoning_content": "Hm."}, "reasoning_content is carried along"),
    "reasoning kept": (
        {"prompt": [user("Hi")], "chosen": [{**assistant("a"), "thinking": "Hm."}], "rejected": [assistant("b")]},
        "reasoning",
    ),
}


@pytest.mark.parametrize("name", WARNINGS)
def test_what_is_doubtful_is_a_warning(name, tmp_path):
    rows, said = WARNINGS[name]
    found = read_pairs(jsonl(tmp_path / "x.jsonl", *(rows if isinstance(rows, list) else [rows])))
    assert said in " ".join(only(found).warnings)


def test_rows_that_differ_in_what_their_texts_carry_are_told_together(tmp_path):
    """Told by each mixture of kinds, one file was read four times over, and each count was of a part of it."""
    rows = [("a", "b"), ("c</s>", "d"), ("e", "f</s>"), ("g</s>", "h</s>")]
    part = only(read_pairs(pl.DataFrame([{"prompt": "Hi", "chosen": c, "rejected": r} for c, r in rows])))
    lost = "that carry a chat template (</s>) lose it"
    assert part.warnings == (f"2 texts in chosen {lost}", f"2 texts in rejected {lost}")


@pytest.mark.parametrize("ask", ["Hi", user("Hi"), [user("Hi")]])
def test_columns_that_the_user_names(ask, tmp_path):
    row = {"ask": ask, "rules": "Be brief.", "best": "a", "worst": "b", "s": 3, "prompt_id": "x"}
    named = how_to_read({"columns": "prompt=ask, system=rules,chosen=best,rejected=worst,score_chosen=s"})
    for given in (jsonl(tmp_path / "x.jsonl", row), pl.DataFrame([row])):
        (pair,) = read_pairs(given, how=named).kept.collect().to_dicts()
        assert pair["prompt"] == [{"role": "system", "content": "Be brief."}, user("Hi")]
        assert (pair["chosen"], pair["rejected"], pair["score_chosen"]) == ("a", "b", 3)
    (prompt,) = read_prompts(tmp_path / "x.jsonl", {"prompt": "ask"}).kept["prompt"].to_list()
    assert prompt == [user("Hi")]


def test_a_label_and_replies_that_the_user_names(tmp_path):
    rows = [{"q": "Hi", "x": "a", "y": "b", "who": "A"}, {"q": "Ho", "x": "c", "y": "d", "who": "B"}]
    how = how_to_read({"columns": {"prompt": "q", "first": "x", "second": "y", "label": "who"}})
    kept = read_pairs(jsonl(tmp_path / "x.jsonl", *rows), how=how).kept.collect()
    assert kept.select("chosen", "rejected").rows() == [("a", "b"), ("d", "c")]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"columns": "prompt"}, "write ROLE=COLUMN"),
        ({"columns": "prompt=a,prompt=b"}, "each role once"),
        ({"columns": {"promt": "a"}}, "'promt' is nothing that a pair has"),
        ({"pairing": "most"}, "best_worst, adjacent, all"),
    ],
)
def test_options_of_reading_that_are_none_are_refused(options, said):
    with pytest.raises(ConfigError, match=said):
        how_to_read(options)


def test_a_column_or_layout_that_is_not_there(tmp_path):
    file = jsonl(tmp_path / "x.jsonl", ROW)
    with pytest.raises(InputError, match=r"x\.jsonl: there is no column 'ask'.* it has chosen, query, rejected"):
        read_pairs(file, how=How({"prompt": "ask"}))
    with pytest.raises(ConfigError, match="there is no layout 'parrot'"):
        read_pairs(file, how=How(layout="parrot"))
    with pytest.raises(InputError, match=r"x\.jsonl: is not in the layout sharegpt .*it has query"):
        read_pairs(file, how=How(layout="sharegpt"))
    assert only(read_pairs(file, how=How(layout="plain"))).layout == "plain"


def test_texts_of_a_table_of_our_own_are_what_they_are(tmp_path):
    """A reply that looks like a message list was unfolded when it was first read, or is meant as it is."""
    reply = json.dumps([assistant("Tin.")])
    rows = read_pairs(jsonl(tmp_path / "x.jsonl", {**ROW, "chosen": "<|im_start|>"})).kept.collect()
    rows.with_columns(chosen=pl.lit(reply)).write_parquet(tmp_path / "kept.parquet")
    found = read_pairs(tmp_path / "kept.parquet")
    assert found.kept.collect()["chosen"].to_list() == [reply]
    assert only(found).layout == "pairs"


def test_candidates_pair_as_best_and_worst_as_neighbours_or_all(tmp_path):
    replies = [{"text": text, "score": score} for text, score in (("c", 1), ("a", 3), ("b", 2), ("d", 1), ("n", None))]
    file = jsonl(tmp_path / "x.jsonl", {"prompt": "Hi", "responses": replies})
    pairs = {
        pairing: set(read_pairs(file, how=How(pairs=pairing)).kept.collect().select("chosen", "rejected").rows())
        for pairing in ("best_worst", "adjacent", "all")
    }
    assert pairs["best_worst"] == {("a", "c")}
    assert pairs["adjacent"] == {("a", "b"), ("b", "c")}
    assert pairs["all"] == {("a", "b"), ("a", "c"), ("a", "d"), ("b", "c"), ("b", "d")}
    kept = read_pairs(file).kept.collect()
    assert kept.select("score_chosen", "score_rejected").rows() == [(3.0, 1.0)]


def test_candidates_that_make_no_pair_are_set_aside_with_the_reason(tmp_path):
    rows = [
        {"prompt": "Hi", "responses": [{"text": "a", "score": 1}, {"text": "b", "score": 1}]},
        {"prompt": "Hi", "responses": [{"text": "a", "score": 1}]},
        {"prompt": "Hi", "responses": [{"text": "a"}, {"text": "b"}]},
        {"prompt": "Hi", "responses": [{"said": "a", "score": 1}, {"said": "b", "score": 2}]},
    ]
    assert read_pairs(jsonl(tmp_path / "x.jsonl", *rows)).reasons() == {"tie": 1, "unreadable": 3}


def test_single_replies_that_stay_alone_are_each_set_aside(tmp_path):
    rows = [("Hi", "a", True), ("Ho", "b", True), ("Hi", "c", False), ("Ho", "d", True), ("Hm", "e", False)]
    file = jsonl(tmp_path / "x.jsonl", *({"prompt": p, "completion": c, "label": ok, "n": c} for p, c, ok in rows))
    found = read_pairs(file)
    assert found.kept.collect().select("chosen", "rejected", "n").rows() == [("a", "c", "a")]
    assert found.reasons() == {"alone": 3}


def test_one_strange_file_is_named_and_can_be_left_out(tmp_path):
    jsonl(tmp_path / "a.jsonl", ROW)
    (tmp_path / "b.jsonl").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 12\n")
    jsonl(tmp_path / "c.jsonl", {"q": 1})
    (tmp_path / "dataset_info.json").write_text(json.dumps({"sets": [{"file_name": "a.jsonl"}]}))
    with pytest.raises(InputError, match=r"b\.jsonl: is a Git LFS pointer.*git lfs pull.*--skip-unreadable"):
        read_pairs(tmp_path)
    found = read_pairs(tmp_path, how=How(skip_unreadable=True))
    assert found.kept.collect().height == 1
    said = "\n".join(found.reading.lines())
    assert "b.jsonl: is a Git LFS pointer" in said
    assert "c.jsonl: no pairs can be read" in said
    with pytest.raises(InputError, match=r"b\.jsonl: is a Git LFS pointer"):
        read_pairs(tmp_path / "b.jsonl", how=How(skip_unreadable=True))


def test_what_dataset_info_says_of_the_files_beside_it(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps([{"ask": "Hi", "good": "a", "bad": "b"}]))
    columns = {"prompt": "ask", "chosen": "good", "rejected": "bad", "system": "absent"}
    info = {"mine": {"file_name": "a.json", "ranking": True, "columns": columns}, "other": {"hf_hub_url": "x/y"}}
    (tmp_path / "dataset_info.json").write_text(json.dumps(info))
    found = read_pairs(tmp_path)
    assert found.kept.collect().select("chosen", "rejected").rows() == [("a", "b")]
    assert only(found).columns["prompt"] == ("ask",)
    (tmp_path / "dataset_info.json").write_text("[")
    with pytest.raises(InputError, match=r"a\.json: no pairs can be read"):
        read_pairs(tmp_path)


def test_every_role_is_of_a_layout():
    assert len(set(ROLES)) == len(ROLES)


def test_names_of_columns_steer_no_terminal():
    part = Part("flat", ("a\x1b[2J.csv",), {"prompt": ("q\x07",)}, ("x\x1b]0;t\x07",), ("\x1b is carried along",))
    lines = list(Reading((part,), {"empty\x1b": 1}, None).lines())
    assert len(lines) == 3
    assert all(line.isprintable() for line in lines)


def test_a_trace_steers_no_terminal():
    evil = "\x1b[2J\x07"
    rows = [{evil: evil}]
    told = {evil: evil}
    shown = trace(Trace("id" + evil, evil, told, [evil], told, rows, rows, told, rows, rows))
    assert "\x1b" not in shown
    assert "\x07" not in shown
