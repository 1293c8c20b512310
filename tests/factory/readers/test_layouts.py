"""A pair written in any layout reads back as the pair it was."""

import json
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from factory.errors import InputError
from factory.identity import pair_id, prompt_id
from factory.readers import read_pairs, read_prompts
from factory.readers.layouts import LAYOUTS
from factory.readers.layouts.trl_implicit_text import cut
from factory.schema import PAIRS, check

TURNS = [{"role": "user", "content": "Why is the sky blue?"}]
TALK = [*TURNS, {"role": "assistant", "content": "Rayleigh."}, {"role": "user", "content": "Who was he?"}]
SYSTEM = {"role": "system", "content": "Be brief."}


class Case(NamedTuple):
    layout: str
    row: Any
    """prompt turns, chosen, rejected -> a row in the layout."""
    system: bool = True
    rounds: bool = True


def said(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}


def share(turn: dict[str, str]) -> dict[str, str]:
    return {"from": {"user": "human", "assistant": "gpt"}.get(turn["role"], turn["role"]), "value": turn["content"]}


def own(turns, chosen, rejected):
    return {"prompt": turns, "chosen": chosen, "rejected": rejected}


def split(turns):
    system = turns[0]["content"] if turns[0]["role"] == "system" else None
    return system, [turn["content"] for turn in turns if turn["role"] != "system"]


def plain(turns, chosen, rejected):
    system, texts = split(turns)
    return {"system": system, "prompt": texts[0], "chosen": chosen, "rejected": rejected}


def axolotl(turns, chosen, rejected):
    row = plain(turns, chosen, rejected)
    return {"input": row.pop("prompt"), **row}


def alpaca(turns, chosen, rejected):
    system, texts = split(turns)
    history = [[ask, answer] for ask, answer in zip(texts[:-1:2], texts[1:-1:2], strict=True)]
    row = {"instruction": texts[-1], "input": "", "chosen": chosen, "rejected": rejected}
    return {**row, "system": system, "history": history}


def explicit(turns, chosen, rejected):
    return {"prompt": turns, "chosen": [said(chosen)], "rejected": [said(rejected)]}


def doubled(turns, chosen, rejected):
    return {"prompt": turns, "chosen": [*turns, said(chosen)], "rejected": [*turns, said(rejected)]}


def implicit(turns, chosen, rejected):
    return {key: row for key, row in doubled(turns, chosen, rejected).items() if key != "prompt"}


def ultrafeedback(turns, chosen, rejected):
    first = next(turn["content"] for turn in turns if turn["role"] == "user")
    messages = [*turns, said(chosen)]
    return {**doubled(turns, chosen, rejected), "prompt": first, "messages": messages, "score_chosen": 8.0}


def sharegpt(turns, chosen, rejected):
    conversations = [share(turn) for turn in turns]
    return {"conversations": conversations, "chosen": share(said(chosen)), "rejected": share(said(rejected))}


def transcript(turns, reply):
    names = {"user": "Human", "assistant": "Assistant"}
    return "".join(f"\n\n{names[turn['role']]}: {turn['content']}" for turn in [*turns, said(reply)])


def hh(turns, chosen, rejected):
    return {"chosen": transcript(turns, chosen), "rejected": transcript(turns, rejected)}


def labelled(turns, chosen, rejected):
    swap = len(chosen) % 2
    one, two = (rejected, chosen) if swap else (chosen, rejected)
    return {"prompt": turns[0]["content"], "response_1": one, "response_2": two, "label": 1 + swap}


def shared_text(turns, chosen, rejected):
    return {key: f"{turns[0]['content']}\n{reply}" for key, reply in (("chosen", chosen), ("rejected", rejected))}


def scored(turns, chosen, rejected):
    """As UltraFeedback has them: scores at each reply, the best anywhere, others between."""
    replies = [(rejected, 1.0), ("A reply between.", 2.5), (chosen, 4.0)]
    turned = len(chosen) % 3
    completions = [{"model": f"m{score}", "response": text, "overall_score": score} for text, score in replies]
    return {"prompt": turns, "completions": [*completions[turned:], *completions[:turned]]}


def ranked(turns, chosen, rejected):
    """As NeMo-RL has them."""
    completions = [{"rank": 1, "completion": [said(rejected)]}, {"rank": 0, "completion": [said(chosen)]}]
    return {"context": turns, "completions": completions}


def beside(turns, chosen, rejected):
    row = plain(turns, "", "")
    return {"system": row["system"], "instruction": row["prompt"], "generations": [rejected, chosen], "ratings": [1, 5]}


def picked(turns, chosen, rejected):
    return {"prompt": turns, "summaries": [{"text": rejected}, {"text": chosen}], "choice": 1}


def lists(turns, chosen, rejected):
    return {"prompt": turns, "chosen": [chosen], "rejected": [rejected, f"{rejected} or so"]}


def ending(turns, chosen, rejected):
    return {"messages": [*turns, said(chosen)], "rejected_response": rejected}


def arena(turns, chosen, rejected):
    swap = len(chosen) % 2
    one, two = (rejected, chosen) if swap else (chosen, rejected)
    talks = {"conversation_a": [*turns, said(one)], "conversation_b": [*turns, said(two)]}
    return {**talks, "winner": "model_b" if swap else "model_a", "model_a": "x", "model_b": "y"}


def arena_lists(turns, chosen, rejected):
    """As the arena's 55,000: questions, and the answers to them, as lists written out."""
    swap = len(chosen) % 2
    one, two = (rejected, chosen) if swap else (chosen, rejected)
    asked = [turn["content"] for turn in turns if turn["role"] == "user"]
    before = [turn["content"] for turn in turns if turn["role"] == "assistant"]
    answers = {f"response_{side}": json.dumps([*before, text]) for side, text in (("a", one), ("b", two))}
    won = {"winner_model_a": 1 - swap, "winner_model_b": swap, "winner_tie": 0}
    return {"id": 7, "model_a": "x", "model_b": "y", "prompt": json.dumps(asked), **answers, **won}


def shp(turns, chosen, rejected):
    swap = len(chosen) % 2
    one, two = (rejected, chosen) if swap else (chosen, rejected)
    return {"history": turns[0]["content"], "human_ref_A": one, "human_ref_B": two, "labels": 1 - swap}


def requested(turns, chosen, rejected):
    """As OpenAI's preference fine-tuning has them."""
    outputs = {"preferred_output": [said(chosen)], "non_preferred_output": [said(rejected)]}
    return {"input": {"messages": turns, "tools": []}, **outputs}


def single(turns, chosen, rejected):
    """As KTO has them; two rows make one pair."""
    good, bad = ({"prompt": turns, "completion": [said(text)], "label": text == chosen} for text in (chosen, rejected))
    return [bad, good]


def tree(turns, chosen, rejected):
    """As OpenAssistant has them: a message a row, the answers ranked, the best as 0."""
    called = {"user": "prompter", "assistant": "assistant"}
    key = repr((turns, chosen))
    above = [None, *(f"{key}{place}" for place in range(len(turns)))]
    talk = [(called[turn["role"]], turn["content"], above[place], None) for place, turn in enumerate(turns)]
    answers = [("assistant", text, above[-1], rank) for text, rank in ((rejected, 2), ("So so.", 1), (chosen, 0))]
    return [
        {"message_id": f"{key}{place}", "parent_id": parent, "role": role, "text": text, "rank": rank}
        for place, (role, text, parent, rank) in enumerate([*talk, *answers])
    ]


def nested(turns, chosen, rejected):
    """The same tree as one object, as OpenAssistant exports it: answers within their question."""
    rows = tree(turns, chosen, rejected)

    def grown(row):
        below = [grown(other) for other in rows if other["parent_id"] == row["message_id"]]
        own = {key: value for key, value in row.items() if key != "parent_id"}
        return {**own, "labels": {"spam": 0.0}, "replies": below}

    return {"message_tree_id": rows[0]["message_id"], "tree_state": "ready_for_export", "prompt": grown(rows[0])}


def objects(turns, chosen, rejected):
    system, texts = split(turns)
    replies = {"chosen": {"text": chosen, "model": "x"}, "rejected": {"text": rejected, "model": "y"}}
    return {"system": [{"text": system}] if system else None, "prompt": texts[-1], **replies}


def parts(turns, chosen, rejected):
    replies = {"accepted": chosen, "reject": rejected}
    return {"messages": turns, **{name: {"content": [{"type": "text", "text": t}]} for name, t in replies.items()}}


def two_objects(turns, chosen, rejected):
    swap = len(chosen) % 2
    one, two = (rejected, chosen) if swap else (chosen, rejected)
    return {"prompt": turns, "response_a": {"value": one}, "response_b": {"value": two}, "winner": "AB"[swap]}


def lettered(turns, chosen, rejected):
    """The columns chosen and rejected name the replies beside them."""
    swap = len(chosen) % 2
    one, two = (rejected, chosen) if swap else (chosen, rejected)
    return {"prompt": turns, "response_a": one, "response_b": two, "chosen": "ab"[swap], "rejected": "ba"[swap]}


def by_model(turns, chosen, rejected):
    replies = [{"model": "x", "response": rejected}, {"model": "y", "response": chosen}]
    return {"prompt": turns, "completions": replies, "chosen": "y", "rejected": "x"}


def contents(turns, chosen, rejected):
    """As Gemini's preference tuning has them."""
    said_so = [
        {"role": {"assistant": "model"}.get(turn["role"], turn["role"]), "parts": [{"text": turn["content"]}]}
        for turn in turns
    ]
    scored = [(rejected, 0.0), (chosen, 1.0)]
    replies = [{"score": score, "completion": {"role": "model", "parts": [{"text": t}]}} for t, score in scored]
    return {"contents": said_so, "completions": replies}


def rejected_answer(turns, chosen, rejected):
    return {"prompt": turns, "answer": chosen, "rejected_answer": rejected}


def rank_columns(turns, chosen, rejected):
    replies = dict(zip(("response_a", "response_b", "response_c"), ("So so.", chosen, rejected), strict=True))
    return {"prompt": turns[-1]["content"], **replies, "rank_a": 2, "rank_b": 1, "rank_c": 3}


def annotated(turns, chosen, rejected):
    """As CodeUltraFeedback has them: the ratings beside the replies name the models that wrote them."""
    responses = [{"model": "a", "response": rejected}, {"model": "b", "response": chosen}]
    ratings = [{"model": "b", "rating": "5", "rationale": "x"}, {"model": "a", "rating": "2", "rationale": "y"}]
    return {"instruction": turns[0]["content"], "responses": responses, "annotations": ratings, "preference": "style"}


CASES = {
    "own": Case("pairs", own),
    "plain": Case("plain", plain, rounds=False),
    "axolotl": Case("plain", axolotl, rounds=False),
    "alpaca": Case("plain", alpaca),
    "trl explicit": Case("trl_conversational", explicit),
    "prompt doubled": Case("trl_conversational", doubled),
    "skywork": Case("trl_implicit", implicit),
    "ultrafeedback": Case("ultrafeedback", ultrafeedback),
    "sharegpt": Case("sharegpt", sharegpt),
    "hh_rlhf": Case("hh_rlhf", hh, system=False),
    "labelled": Case("labelled", labelled, system=False, rounds=False),
    "arena": Case("labelled", arena),
    "arena of lists": Case("labelled", arena_lists, system=False),
    "shp": Case("labelled", shp, system=False, rounds=False),
    "scored": Case("candidates", scored),
    "ranked": Case("candidates", ranked),
    "ratings beside": Case("candidates", beside, rounds=False),
    "choice": Case("candidates", picked),
    "lists": Case("candidates", lists),
    "ending": Case("ending", ending),
    "openai": Case("ultrafeedback", requested),
    "single": Case("single", single),
    "tree": Case("trees", tree, system=False),
    "nested tree": Case("trees", nested, system=False),
    "objects": Case("sharegpt", objects, rounds=False),
    "parts": Case("sharegpt", parts),
    "objects of two models": Case("labelled", two_objects),
    "chosen by letter": Case("labelled", lettered),
    "chosen by model": Case("candidates", by_model),
    "contents": Case("candidates", contents),
    "rejected answer": Case("pairs", rejected_answer),
    "ranks in columns": Case("candidates", rank_columns, system=False, rounds=False),
    "annotations": Case("candidates", annotated, system=False, rounds=False),
    "shared text": Case("trl_implicit_text", shared_text, system=False, rounds=False),
}


def turns_for(case: Case, turns: list[dict[str, str]]) -> list[dict[str, str]]:
    wanted = [turn for turn in turns if case.system or turn["role"] != "system"]
    lead = [turn for turn in wanted if turn["role"] == "system"]
    return wanted if case.rounds else [*lead, wanted[-1]]


def flat(rows):
    """A layout may take several rows for a pair."""
    return [one for row in rows for one in (row if isinstance(row, list) else [row])]


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


@pytest.mark.parametrize("turns", [TURNS, TALK, [SYSTEM, *TURNS], [SYSTEM, *TALK]])
@pytest.mark.parametrize("name", CASES)
def test_reads_back(name, turns, tmp_path):
    case = CASES[name]
    prompt = turns_for(case, turns)
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


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("form", ["parquet", "jsonl", "json", "columns"])
def test_every_format_gives_the_same(name, form, tmp_path):
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


TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12).map(str.strip).filter(bool)
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


@pytest.mark.parametrize("name", [name for name in CASES if name != "shared text"])
@settings(max_examples=25, deadline=None)
@given(written=pairs())
def test_any_pair_reads_back(name, written, tmp_path_factory):
    case = CASES[name]
    turns, chosen, rejected = turns_for(case, written[0]), *written[1:]
    kept = read_one([case.row(turns, chosen, rejected)], tmp_path_factory.mktemp("any"))
    (row,) = kept.to_dicts()
    if case.layout == "hh_rlhf":
        turns = [{**turn, "content": turn["content"].strip()} for turn in turns]
    assert (row["prompt"], row["chosen"], row["rejected"]) == (turns, chosen, rejected)
    assert row["pair_id"] == pair_id(turns, chosen, rejected)


@settings(deadline=None)
@given(TEXT, WORD, WORD)
def test_shared_text_is_cut_at_a_line_break(prompt, chosen, rejected):
    assert cut(f"{prompt}\nx{chosen}", f"{prompt}\ny{rejected}") == (prompt, f"x{chosen}", f"y{rejected}")


def test_shared_text_is_cut_at_boundaries_alone():
    assert cut("The sky is blue.", "The sky is black.") == ("", "The sky is blue.", "The sky is black.")
    assert cut("Q: Why?\nAnswer: Sure. A", "Q: Why?\nAnswer: Sure. B") == ("Q: Why?\nAnswer:", "Sure. A", "Sure. B")
    assert cut("Why?\n\nIt is so", "Why?\n\nIt is not") == ("Why?", "It is so", "It is not")
    assert cut("one", "two") == ("", "one", "two")


SHARING = {"chosen": "Sure, here:\nChalk.", "rejected": "Sure, here:\nCheese."}
NO_PROMPT_IS_MADE_UP = {
    "a text of several words beside": [{**SHARING, "note": "Name a thing that is white."}],
    "an unknown list of messages": [{**SHARING, "talk": [{"role": "user", "content": "Hi"}]}],
    "a prompt that is a number": [{**SHARING, "prompt": 5}],
    "most replies share no line": [SHARING, *({"chosen": f"a{n}", "rejected": f"b{n}"} for n in range(2))],
}


@pytest.mark.parametrize("name", NO_PROMPT_IS_MADE_UP)
def test_no_prompt_is_made_of_what_replies_share(name, tmp_path):
    file = tmp_path / "x.jsonl"
    file.write_text("\n".join(map(json.dumps, NO_PROMPT_IS_MADE_UP[name])))
    with pytest.raises(InputError, match=r"no pairs can be read from its columns.*--columns prompt="):
        read_pairs(file)


def test_an_object_that_holds_no_prompt_is_no_text(tmp_path):
    _, (rejected,) = one({**SHARING, "question": {"id": 7}}, tmp_path)
    assert rejected["reason"] == "not_text"


def test_a_null_prompt_is_empty_whatever_the_replies_share(tmp_path):
    rows = [{"prompt": None, **SHARING}, {"prompt": "Name a thing.", "chosen": "a", "rejected": "b"}]
    for some in (rows, rows[:1]):
        file = tmp_path / "x.jsonl"
        file.write_text("\n".join(map(json.dumps, some)))
        split = read_pairs(file)
        assert split.rejected.collect()["reason"].to_list() == ["empty_prompt"]
        assert split.kept.collect().height == len(some) - 1


def one(row, tmp_path, reader=read_pairs):
    file = tmp_path / "x.jsonl"
    file.write_text(json.dumps(row))
    split = reader(file)
    return split.kept.lazy().collect().to_dicts(), split.rejected.lazy().collect().to_dicts()


U, A = {"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}
TOOL, IMAGE = {"role": "tool", "content": "42"}, {"role": "user", "content": [{"type": "image"}]}
REASONS = {
    "prompts differ": ({"chosen": [U, A], "rejected": [{**U, "content": "Ho"}, A]}, "prompts_differ"),
    "prompt beside differs": ({"prompt": "Ho", "chosen": [U, A], "rejected": [U, said("No")]}, "prompts_differ"),
    "transcripts part early": (hh(TALK, "a", "b") | {"rejected": transcript(TURNS, "b")}, "prompts_differ"),
    "identical": (plain(TURNS, "same", " same\n"), "identical"),
    "empty chosen": (plain(TURNS, " ", "b"), "empty_chosen"),
    "empty rejected": (explicit(TURNS, "a", ""), "empty_rejected"),
    "only replies": ({"chosen": [A], "rejected": [said("No")]}, "empty_prompt"),
    "blank prompt": (plain([{"role": "user", "content": " \n"}], "a", "b"), "empty_prompt"),
    "tool turn": ({"chosen": [U, TOOL, A], "rejected": [U, TOOL, said("No")]}, "tool_turns"),
    "tool call": ({"chosen": [U, {**A, "tool_calls": [{"id": 1}]}], "rejected": [U, A]}, "tool_turns"),
    "image": ({"chosen": [IMAGE, A], "rejected": [IMAGE, said("No")]}, "not_text"),
    "user last": ({"chosen": [U, A, U], "rejected": [U, A, {**U, "content": "!"}]}, "bad_roles"),
    "replies by the user": (
        {"chosen": [U, {**U, "content": "a"}], "rejected": [U, {**U, "content": "b"}]},
        "bad_roles",
    ),
    "one reply by the user": ({"chosen": [U, A], "rejected": [U, {**U, "content": "b"}]}, "bad_roles"),
    "system in the middle": ({"chosen": [U, SYSTEM, A], "rejected": [U, SYSTEM, said("No")]}, "bad_roles"),
    "unknown role": (implicit([{"role": "x", "content": "y"}], "a", "b"), "bad_roles"),
}


@pytest.mark.parametrize("name", REASONS)
def test_rejected_with_reason_and_row(name, tmp_path):
    row, reason = REASONS[name]
    kept, rejected = one(row, tmp_path)
    assert (len(kept), len(rejected)) == (0, 1)
    assert rejected[0]["filter"] == "read"
    assert rejected[0]["reason"] == reason
    assert rejected[0]["source"] == "x"


@pytest.mark.parametrize(("good", "bad"), [(plain, "texts"), (implicit, "lists")])
def test_missing_replies(good, bad, tmp_path):
    gone: list[Any] = [None, ""] if bad == "texts" else [None, []]
    rows = [good(TURNS, "a", "b")]
    rows += [{**rows[0], side: value} for side in ("chosen", "rejected") for value in gone]
    file = tmp_path / "x.jsonl"
    file.write_text("\n".join(map(json.dumps, rows)))
    split = read_pairs(file)
    assert split.kept.collect().height == 1
    assert split.rejected.collect()["reason"].to_list() == ["empty_chosen"] * 2 + ["empty_rejected"] * 2


def test_the_rejected_row_is_there_as_it_came(tmp_path):
    row = {**plain(TURNS, "same", "same"), "note": {"deep": [1]}}
    _, (rejected,) = one(row, tmp_path)
    assert json.loads(rejected["row"]) == {**row, "note": json.dumps(row["note"])}


def test_a_prompt_beside_conversations_in_its_other_forms(tmp_path):
    """The prompt may be the system message and first turn, the last turn, or what comes before the replies' turns."""
    cases = [
        ({"prompt": "Hi", **implicit([SYSTEM, U], "a", "b")}, [SYSTEM, U]),
        ({"prompt": "Who was he?", **implicit(TALK, "a", "b")}, TALK),
        ({"prompt": [SYSTEM, U], **implicit([U], "a", "b")}, [SYSTEM, U]),
        ({"prompt": [U], "chosen": [A, U, said("a")], "rejected": [A, U, said("b")]}, [U, A, U]),
    ]
    for row, prompt in cases:
        kept, rejected = one(row, tmp_path)
        assert [pair["prompt"] for pair in kept] == [prompt], rejected


def test_static_transcript_as_prompt(tmp_path):
    ((row,), _) = one({"prompt": transcript(TURNS, ""), "chosen": " a", "rejected": "b"}, tmp_path)
    assert row["prompt"] == TURNS
    assert row["chosen"] == " a"


def test_a_plain_reply_that_looks_like_a_transcript_is_text(tmp_path):
    reply = "\n\nHuman: hi\n\nAssistant: yes"
    ((row,), _) = one(plain(TURNS, reply, "b"), tmp_path)
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


def test_prompts_of_every_layout(tmp_path):
    for name, case in CASES.items():
        prompt = turns_for(case, TALK)
        prompt = prompt[:1] if case.layout == "trees" else prompt  # the roots alone
        row = flat([case.row(prompt, "Good one", "Bad one")])[0]
        kept, rejected = one(row, tmp_path, read_prompts)
        assert [row["prompt"] for row in kept] == [prompt], (name, rejected)
