"""A pair written in any layout reads back as the pair it was."""

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from factory.identity import pair_id, prompt_id
from factory.readers import read_pairs, read_prompts
from factory.readers.cells.templates import without_end
from factory.readers.layouts import LAYOUTS
from factory.readers.layouts.trl_implicit_text import cut
from factory.schema import PAIRS, check
from tests.layouts import CASES, SYSTEM, TALK, TURNS, flat, hh, implicit, plain, said, transcript, turns_for
from tests.reading import read


def read_one(rows: list[dict[str, Any]], folder: Path) -> pl.DataFrame:
    file = folder / "some.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in flat(rows)), encoding="utf-8")
    split = read_pairs(file)
    assert split.rejected.collect().height == 0, split.rejected.collect().to_dicts()
    return split.kept.collect()


def test_every_layout_has_a_case():
    assert {case.layout for case in CASES.values()} == set(LAYOUTS)


def test_the_page_about_formats_has_every_layout():
    page = (Path(__file__).parents[3] / "docs/formats.md").read_text(encoding="utf-8")
    rows = [f"| `{layout.name}` | {layout.about} |" for layout in LAYOUTS.values()]
    assert "\n".join(rows) in page


@pytest.mark.parametrize("name", CASES)
def test_every_layout_gives_back_prompt_and_replies(name, tmp_path):
    """One turn and two, with and without a system message, each in a file of its own."""
    case = CASES[name]
    prompts = [turns_for(case, turns) for turns in (TURNS, TALK, [SYSTEM, *TURNS], [SYSTEM, *TALK])]
    for prompt in (prompt for place, prompt in enumerate(prompts) if prompt not in prompts[:place]):
        kept = read_one([case.row(prompt, "Good answer", "Bad answer?")], tmp_path)
        check(kept, PAIRS)
        (row,) = kept.to_dicts()
        assert (row["prompt"], row["chosen"], row["rejected"]) == (prompt, "Good answer", "Bad answer?")
        assert row["prompt_id"] == prompt_id(prompt)
        assert row["pair_id"] == pair_id(prompt, "Good answer", "Bad answer?")
        assert row["source"] == "some"


@pytest.mark.parametrize("name", [name for name in CASES if name != "shared text"])
def test_a_system_message_beside_any_layout_is_the_pair_s(name, tmp_path):
    case = CASES[name]
    turns = turns_for(case, TALK)
    rows = [{**row, "system": SYSTEM["content"]} for row in flat([case.row(turns, "Good answer", "Bad answer?")])]
    (row,) = read_one(rows, tmp_path).to_dicts()
    assert (row["prompt"], row["chosen"], row["rejected"]) == ([SYSTEM, *turns], "Good answer", "Bad answer?")


FIRST = {case.layout: name for name, case in reversed(CASES.items())}
"""A case of each layout."""
FORMS = [(name, "parquet") for name in CASES]
FORMS += [(name, form) for name in FIRST.values() for form in ("jsonl", "json", "columns")]


@pytest.mark.parametrize(("name", "form"), FORMS)
def test_every_format_gives_the_same(name, form, tmp_path):
    """Types of a Parquet file in every case; forms of JSON, whose values are the same, in one of each layout."""
    case = CASES[name]
    turns = turns_for(case, TALK)
    talks = [[*turns[:-1], {**turns[-1], "content": f"{turns[-1]['content']} {n}"}] for n in range(3)]
    rows = flat(case.row(talk, f"Good {n}", f"Bad {n}!") for n, talk in enumerate(talks))
    file = tmp_path / f"x.{'json' if form == 'columns' else form}"
    if form == "parquet":
        pl.DataFrame(rows).write_parquet(file)
    elif form == "jsonl":
        file.write_text("\n".join(map(json.dumps, rows)))
    elif form == "json":
        file.write_text(json.dumps({"data": rows}, indent=1))
    else:
        file.write_text(json.dumps({key: [row[key] for row in rows] for key in rows[0]}))
    split = read_pairs(file)
    assert split.rejected.collect().height == 0
    assert split.kept.collect()["chosen"].to_list() == ["Good 0", "Good 1", "Good 2"]
    assert split.kept.collect()["prompt"].to_list() == talks


GONE = ("", "[deleted]", "[removed]", "Assistant:", "<image>", "<video>", "<audio>")
TEXT = (
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
    .map(str.strip)
    .filter(lambda text: text not in GONE and without_end(text))  # Hypothesis draws constants of ours, too
)
WORD = st.text("abcdefghij", min_size=1, max_size=8)


@st.composite
def pairs(draw):
    rounds = draw(st.integers(0, 2))
    turns = [SYSTEM] if draw(st.booleans()) else []
    for _ in range(rounds):
        turns = [*turns, {"role": "user", "content": draw(TEXT)}, said(draw(TEXT))]
    chosen, rejected = draw(TEXT), draw(TEXT)
    if chosen == rejected:
        rejected = f"{rejected}!"
    return [*turns, {"role": "user", "content": draw(TEXT)}], chosen, rejected


SEVERAL = st.lists(pairs(), min_size=1, max_size=6, unique_by=lambda written: written[0][-1]["content"])


@pytest.mark.parametrize("name", [name for name in CASES if name != "shared text"])
@settings(max_examples=4, deadline=None)
@given(written=SEVERAL)
def test_any_pair_reads_back(name, written, tmp_path_factory):
    """Alone, and with others of other prompts beside it: a file read costs much the same whatever it holds."""
    case = CASES[name]
    given = [(turns_for(case, turns), *replies) for turns, *replies in written]
    kept = read_one([case.row(*pair) for pair in given], tmp_path_factory.mktemp("any"))
    if case.layout == "hh_rlhf":
        given = [([{**turn, "content": turn["content"].strip()} for turn in turns], *two) for turns, *two in given]
    found = [(row["pair_id"], row["prompt"], row["chosen"], row["rejected"]) for row in kept.to_dicts()]
    assert sorted(found) == sorted((pair_id(*pair), *pair) for pair in given)


@settings(deadline=None)
@given(TEXT, WORD, WORD)
def test_shared_text_is_cut_at_a_line_break(prompt, chosen, rejected):
    assert cut(f"{prompt}\nx{chosen}", f"{prompt}\ny{rejected}") == (prompt, f"x{chosen}", f"y{rejected}")


def test_shared_text_is_cut_at_boundaries_alone():
    assert cut("The sky is blue.", "The sky is black.") == ("", "The sky is blue.", "The sky is black.")
    assert cut("Q: Why?\nAnswer: Sure. A", "Q: Why?\nAnswer: Sure. B") == ("Q: Why?\nAnswer:", "Sure. A", "Sure. B")
    assert cut("Why?\n\nIt is so", "Why?\n\nIt is not") == ("Why?", "It is so", "It is not")
    assert cut("one", "two") == ("", "one", "two")


U, A = {"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}


def test_a_prompt_beside_conversations_may_be_any_part_of_what_was_said_before(tmp_path):
    """The prompt may be the system message and first turn, the last turn, or what comes before the replies' turns."""
    cases = [
        ({"prompt": "Hi", **implicit([SYSTEM, U], "a", "b")}, [SYSTEM, U]),
        ({"prompt": "Who was he?", **implicit(TALK, "a", "b")}, TALK),
        ({"prompt": [SYSTEM, U], **implicit([U], "a", "b")}, [SYSTEM, U]),
        ({"prompt": [U], "chosen": [A, U, said("a")], "rejected": [A, U, said("b")]}, [U, A, U]),
    ]
    for row, prompt in cases:
        kept, rejected = read(tmp_path, row)
        assert [pair["prompt"] for pair in kept] == [prompt], rejected


def test_a_prompt_that_is_a_transcript_becomes_turns(tmp_path):
    ((row,), _) = read(tmp_path, {"prompt": transcript(TURNS, ""), "chosen": " a", "rejected": "b"})
    assert row["prompt"] == TURNS
    assert row["chosen"] == " a"


def test_a_plain_reply_that_looks_like_a_transcript_is_text(tmp_path):
    reply = "\n\nHuman: hi\n\nAssistant: yes"
    ((row,), _) = read(tmp_path, plain(TURNS, reply, "b"))
    assert row["chosen"] == reply


def test_null_prompts_are_read_by_what_the_replies_hold(tmp_path):
    rows = [
        {"prompt": "Why?", "chosen": "a", "rejected": "b"},
        {"prompt": None, **hh(TURNS, "a", "b")},
        {"prompt": [U], "chosen": "a", "rejected": "b"},
        {"prompt": None, **implicit([U], "a", "b")},
        {"prompt": "Hi", **implicit([U], "c", "d")},
    ]
    kept = read_one(rows, tmp_path)
    assert sorted(row[-1]["content"] for row in kept["prompt"]) == ["Hi"] * 3 + [TURNS[0]["content"], "Why?"]
    assert {*kept["chosen"]} == {"a", "c"}


def test_every_layout_of_pairs_gives_its_prompts(tmp_path):
    for name, case in CASES.items():
        prompt = turns_for(case, TALK)
        prompt = prompt[:1] if case.layout == "trees" else prompt  # the roots alone
        row = flat([case.row(prompt, "Good one", "Bad one")])[0]
        kept, rejected = read(tmp_path, row, reader=read_prompts)
        assert [row["prompt"] for row in kept] == [prompt], (name, rejected)
