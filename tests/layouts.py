"""The same pairs, as every layout writes them."""

import json
from typing import Any, NamedTuple

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


def ending_whole(turns, chosen, rejected):
    return {"messages": [*turns, said(chosen)], "rejected_messages": [*turns, said(rejected)]}


def ending_alone(turns, chosen, rejected):
    return {"messages": [*turns, said(chosen)], "rejected_messages": [said(rejected)]}


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


def letters(turns, chosen, rejected):
    swap = len(chosen) % 2
    one, two = (rejected, chosen) if swap else (chosen, rejected)
    return {"prompt": turns, "A": one, "B": two, "winner": "AB"[swap]}


def _shown(turns, chosen, rejected, names):
    """What annotators see, and what is called the better reply."""
    swap = len(chosen) % 2
    one, two = (rejected, chosen) if swap else (chosen, rejected)
    return {"prompt": turns, names[0]: one, names[1]: two}, names[swap]


def argilla(turns, chosen, rejected):
    """As Argilla's records are: three of its users are asked, of whom one says otherwise."""
    fields, better = _shown(turns, chosen, rejected, ("response1", "response2"))
    answers = [better, "response2" if better == "response1" else "response1", better]
    said_so = {"preference": [{"value": one, "user_id": f"u{place}"} for place, one in enumerate(answers)]}
    offered = {"preference": {"value": answers[1], "score": None, "agent": "m"}}
    row = {"id": repr(turns), "fields": fields, "metadata": {"n": 1}, "suggestions": offered, "responses": said_so}
    return {**row, "_server_id": "s"}


def argilla_flat(turns, chosen, rejected):
    """The same as a data set: an answer that was discarded does not count."""
    fields, better = _shown(turns, chosen, rejected, ("response-a", "response-b"))
    other = "response-b" if better == "response-a" else "response-a"
    about = {".users": ["u", "v"], ".status": ["discarded", "submitted"]}
    told = {f"preference.responses{end}": one for end, one in ({"": [other, better]} | about).items()}
    return {"id": "1", "_server_id": "s", **fields, **told, "preference.suggestion": other}


def argilla_ranking(turns, chosen, rejected):
    fields, better = _shown(turns, chosen, rejected, ("response-1", "response-3"))
    ranks = {"response-2": 2, **{name: 1 if name == better else 3 for name in ("response-1", "response-3")}}
    value = [{"value": name, "rank": rank} for name, rank in ranks.items()]
    said_so = {"order": [{"value": value, "user_id": "u"}]}
    fields = {**fields, "response-2": "So so."}
    return {"id": "1", "fields": fields, "suggestions": None, "responses": said_so}


def label_studio(turns, chosen, rejected):
    """As Label Studio exports tasks of its template for preferences."""
    data, better = _shown(turns, chosen, rejected, ("answer1", "answer2"))
    value = {"selected": "left" if better == "answer1" else "right"}
    result = {"value": value, "from_name": "comparison", "to_name": "comparison", "type": "pairwise"}
    skipped = {"id": 2, "was_cancelled": True, "result": [{**result, "value": {"selected": "left"}}]}
    annotations = [skipped, {"id": 3, "was_cancelled": False, "result": [result]}]
    return {"id": 1, "data": data, "annotations": annotations, "inner_id": 1}


def label_studio_short(turns, chosen, rejected):
    """A row per annotator, of whom two say the same."""
    data, better = _shown(turns, chosen, rejected, ("answer1", "answer2"))
    sides = ("left", "right") if better == "answer1" else ("right", "left")
    about = {"created_at": "x", "updated_at": "y", "lead_time": 1.5}
    return [
        {**data, "id": 1, "comparison": [{"selected": side}], "annotator": who, "annotation_id": who, **about}
        for who, side in enumerate((sides[0], sides[1], sides[0]))
    ]


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
    "ending, whole": Case("ending", ending_whole),
    "ending, alone": Case("ending", ending_alone),
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
    "letters": Case("labelled", letters),
    "argilla": Case("labelled", argilla),
    "argilla flat": Case("labelled", argilla_flat),
    "argilla ranking": Case("candidates", argilla_ranking),
    "label studio": Case("labelled", label_studio),
    "label studio short": Case("labelled", label_studio_short),
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
