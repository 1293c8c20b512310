"""Triples: what is asked under which view, how replies become pairs, and why some do not."""

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

import principles
from factory.config import Principles, Sampling
from factory.config.engines import ScriptedEngine
from factory.engines.base import Completion
from factory.engines.scripted import ScriptedModel
from factory.identity import draw, pair_id
from factory.models.ref import ModelRef
from factory.schema import CONTRAST, FEATURES, PAIRS, REJECTED, check, conform
from factory.stages.contrast import contrast
from factory.stages.plain_pairs import Origin, Pairing, paired
from factory.stages.triples import triples
from principles.views import view_messages
from tests.answering import Answering, prompts_frame

SSO = principles.load("sso")
GIVEN = {"seed": 1, "iteration": 2, "method": "sso", "policy": "me@sso-1"}
USUAL = {"good": "A lively reply.", "bad": "A tired reply.", "plain": "A reply."}


def contrast_frame(prompts, feature="Engagement"):
    named = prompts.select("prompt_id").with_columns(feature=pl.lit(feature), feature_source=pl.lit("allocated"))
    return contrast(prompts, conform(named, FEATURES), SSO, Principles(), None, 1, 1)


def run(answer, *prompts, feature="Engagement", samples=1, **columns):
    frame = prompts_frame(*(prompts or ("Why?",)), **columns)
    engine = Answering(answer)
    sampling = Sampling(samples_per_view=samples, max_new_tokens=50, temperature=0.6, top_p=0.9)
    return triples(frame, contrast_frame(frame, feature), engine, sampling, **GIVEN), engine, frame


def by_view(**texts):
    return lambda request: (USUAL | texts)[request.tags["view"]]


def test_all_replies_are_asked_for_in_one_call_with_their_own_view_and_seed():
    _, engine, frame = run(by_view(), "Why?", "How?", samples=2)
    assert len(engine.asked) == 2 * 3 * 2
    systems = contrast_frame(frame).rows_by_key("prompt_id", named=True, unique=True)
    prompts = dict(frame.select("prompt_id", "prompt").rows())
    for request in engine.asked:
        _, prompt_id, view, k = request.id.split("/")
        system = {"plain": None, "good": "system_good", "bad": "system_bad"}[view]
        own = systems[prompt_id][system] if system else None
        assert request.messages == view_messages(prompts[prompt_id], own)
        assert request.seed == draw(1, "reply", prompt_id, view, int(k), 2)
        assert request.tags == {"stage": "reply", "prompt_id": prompt_id, "view": view, "k": k}
        assert (request.max_new_tokens, request.temperature, request.top_p) == (50, 0.6, 0.9)
    assert len({request.seed for request in engine.asked}) == 12


def test_columns_of_the_user_s_stay_whatever_they_are_called():
    """Those names stood for columns of the table in the making, which took the user's away."""
    own = {name: ["mine"] for name in ("k", "leak", "failure", "adjective_good", "adjective_bad", "note")}
    split, *_ = run(by_view(), **own)
    assert split.kept.select(list(own)).to_dicts() == [dict.fromkeys(own, "mine")]
    prompts = prompts_frame("Why?", **own)
    pairing = Pairing(Completion("good", "A reply."), Completion("bad", "Another."))
    plain = paired(prompts, {prompts["prompt_id"][0]: [pairing]}, Origin("delta", "me", 1))
    assert plain.kept.select(list(own)).to_dicts() == [dict.fromkeys(own, "mine")]


def test_turns_and_the_prompts_own_system_message_are_kept():
    turns = [
        {"role": "system", "content": "You are a pirate."},
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Ahoy"},
        {"role": "user", "content": "Where is gold?"},
    ]
    split, engine, _ = run(by_view(), turns)
    sent = {request.tags["view"]: request.messages for request in engine.asked}
    assert sent["plain"] == turns
    assert sent["good"][0]["content"].startswith("You are a pirate.\n\nFollow this principle")
    assert sent["bad"][1:] == turns[1:]
    assert split.kept["prompt"].to_list() == [turns]


def test_a_pair_holds_the_replies_of_their_views_and_where_they_are_from():
    answers = {
        "good": ("A lively reply.", "stop", 4),
        "bad": ("A tired", "length", 2),
        "plain": ("A reply.", "stop", 3),
    }
    split, _, frame = run(
        lambda r: Completion(
            r.id, answers[r.tags["view"]][0], answers[r.tags["view"]][1], 9, answers[r.tags["view"]][2]
        ),
        mine=[7],
    )
    check(split.kept, PAIRS)
    (row,) = split.kept.to_dicts()
    prompt = frame["prompt"].to_list()[0]
    assert (row["chosen"], row["rejected"], row["original"]) == ("A lively reply.", "A tired", "A reply.")
    assert row["pair_id"] == pair_id(prompt, "A lively reply.", "A tired")
    assert (row["finish_chosen"], row["finish_rejected"], row["finish_original"]) == ("stop", "length", "stop")
    assert (row["tokens_chosen"], row["tokens_rejected"], row["tokens_original"]) == (4, 2, 3)
    assert (row["feature"], row["feature_source"], row["principle_source"]) == ("Engagement", "allocated", "set")
    assert (row["method"], row["policy"], row["iteration"], row["source"]) == ("sso", "me@sso-1", 2, "test")
    assert SSO.by_name["Engagement"].good.principle in row["system_good"]
    assert row["mine"] == 7
    assert split.kept.columns == [*PAIRS.columns, "mine"]


def test_the_kth_replies_make_the_kth_pair_and_answers_are_joined_by_id():
    split, _, frame = run(lambda r: f"{r.tags['view']} {r.tags['k']} {r.tags['prompt_id']}", "a", "b", "c", samples=3)
    assert split.kept.height == 9
    assert split.rejected.is_empty()
    expected = [
        (f"good {k} {prompt_id}", f"bad {k} {prompt_id}", f"plain {k} {prompt_id}", prompt_id)
        for prompt_id in sorted(frame["prompt_id"])
        for k in range(3)
    ]
    assert split.kept.select("chosen", "rejected", "original", "prompt_id").rows() == expected


def test_the_order_of_the_input_does_not_matter():
    frame = prompts_frame("a", "b", "c")

    def made(prompts, rows):
        engine = Answering(lambda r: f"{r.tags['view']} {r.tags['prompt_id']}")
        return triples(prompts, rows, engine, Sampling(), **GIVEN).kept

    base = made(frame, contrast_frame(frame))
    assert made(frame.reverse(), contrast_frame(frame).reverse()).equals(base)


REJECTIONS = [
    ({"good": "", "bad": "As a dull answer, this is it."}, "empty_chosen", None),
    ({"bad": " \n\t"}, "empty_rejected", None),
    ({"plain": "\u00a0"}, "empty_original", None),
    ({"good": "Engaging response: "}, "empty_chosen", None),
    ({"good": "A  tired\nreply."}, "equal_replies", "chosen, rejected"),
    ({"plain": " A lively reply.\n"}, "equal_replies", "chosen, original"),
    ({"bad": "\uff21 reply."}, "equal_replies", "rejected, original"),
    ({"bad": "**Dull answer:** A reply."}, "equal_replies", "rejected, original"),
    ({"bad": "As a dull answer, this is it."}, "leak", "rejected: As a dull answer"),
    ({"good": "Hello.\nEngaging response: Hi"}, "leak", "chosen: Engaging response:"),
]


@pytest.mark.parametrize(("texts", "reason", "detail"), REJECTIONS)
def test_what_is_no_pair_goes_to_rejected_with_its_reason(texts, reason, detail):
    split, _, _ = run(by_view(**texts))
    assert split.kept.is_empty()
    (row,) = split.rejected.to_dicts()
    assert (row["filter"], row["reason"], row["detail"]) == ("triples", reason, detail)
    assert split.rejected.columns == [*REJECTED.columns, *PAIRS.columns]
    assert row["prompt_id"] is not None
    assert row["feature"] == "Engagement"


def test_a_leak_of_the_original_or_of_another_feature_is_none():
    split, _, _ = run(by_view(plain="As a dull answer, hm.", bad="As a boring answer, hm."))
    assert split.kept.height == 1


@pytest.mark.parametrize("view", ["good", "bad", "plain"])
@pytest.mark.parametrize("answer", ["error", "half", "nothing"])
def test_a_failed_request_costs_its_triple_alone(view, answer):
    reply = {"good": "chosen", "bad": "rejected", "plain": "original"}[view]

    def failing(request):
        if request.tags["view"] == view and request.messages[-1]["content"] == "b":
            half = "A half" if answer == "half" else None
            return None if answer == "nothing" else Completion(request.id, half, error="the server said no")
        return USUAL[request.tags["view"]]

    split, _, _ = run(failing, "a", "b", "c")
    assert split.kept.height == 2
    (row,) = split.rejected.to_dicts()
    error = "the engine gave no answer" if answer == "nothing" else "the server said no"
    assert (row["reason"], row["detail"]) == ("failed", f"{reply}: {error}")
    assert row[reply] is None
    assert row["prompt"] == [{"role": "user", "content": "b"}]
    assert (row["pair_id"] is None) == (view != "plain")


@pytest.mark.parametrize(
    ("said", "saved"),
    [
        ("Engaging response: Hello.", "Hello."),
        ("**Engaging reply:** Hello.", "Hello."),
        ("Dull answer - Hello.", "Hello."),
        ("Helpful reply: Hello.", "Helpful reply: Hello."),
        (" Hello.", " Hello."),
    ],
)
def test_the_label_is_taken_off_the_text_that_is_saved(said, saved):
    split, _, frame = run(by_view(good=said))
    (row,) = split.kept.to_dicts()
    assert row["chosen"] == saved
    assert row["pair_id"] == pair_id(frame["prompt"].to_list()[0], saved, "A tired reply.")
    assert row["tokens_chosen"] == (len(said.split()) if said == saved else None)


def test_the_same_pair_twice_is_kept_once():
    """Three samples: the first fails in its original, the second and third are the same pair."""

    def answer(request):
        if request.id.endswith("plain/0"):
            return Completion(request.id, None, error="lost")
        return USUAL[request.tags["view"]] + (request.tags["k"] if request.tags["view"] == "plain" else "")

    split, _, _ = run(answer, samples=3)
    assert split.kept["original"].to_list() == ["A reply.1"]
    assert split.rejected["reason"].to_list() == ["failed", "same_pair"]
    assert split.rejected["original"].to_list() == [None, "A reply.2"]


def test_columns_of_the_users_that_carry_our_names_do_not_get_in_the_way():
    split, _, _ = run(by_view(), chosen=["theirs"], policy=["theirs"], k=[5], reason=["theirs"], mine=["kept"])
    (row,) = split.kept.to_dicts()
    assert (row["chosen"], row["policy"], row["mine"]) == ("A lively reply.", "me@sso-1", "kept")


def test_without_prompts_both_tables_of_triples_are_empty():
    split = triples(prompts_frame(), CONTRAST.empty(), Answering(by_view()), Sampling(), **GIVEN)
    check(split.kept, PAIRS)
    assert split.kept.is_empty()
    assert split.rejected.is_empty()


PIECES = st.sampled_from(["Engaging response:", "As a dull answer", " ", "x", "**", "{{prompt}}", "<|im_end|>", "\n"])


@given(st.lists(st.lists(PIECES, max_size=4).map("".join), min_size=6, max_size=6))
def test_every_triple_is_kept_or_rejected_whatever_is_said(said):
    texts = {f"{view}/{k}": said[n * 2 + k] for n, view in enumerate(("good", "bad", "plain")) for k in range(2)}
    split, _, _ = run(lambda r: Completion(r.id, texts["/".join(r.id.split("/")[2:])], "stop", 1, 1), samples=2)
    assert split.kept.height + split.rejected.height == 2
    assert split.rejected["reason"].null_count() == 0
    check(split.kept, PAIRS)
    for row in split.kept.to_dicts():
        assert row["chosen"].strip()
        assert len({row["chosen"], row["rejected"], row["original"]}) == 3


def test_with_the_scripted_engine_to_the_end():
    frame = prompts_frame(*map(str, range(20)))
    engine = ScriptedModel(ScriptedEngine(), ModelRef("any"))
    first = triples(frame, contrast_frame(frame), engine, Sampling(samples_per_view=2), **GIVEN)
    again = triples(frame, contrast_frame(frame), engine, Sampling(samples_per_view=2), **GIVEN)
    assert first.kept.height + first.rejected.height == 40
    assert first.kept.height > 30
    assert first.kept.equals(again.kept)
