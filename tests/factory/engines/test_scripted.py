import json
import math

import pytest

from factory.config.engines import ScriptedEngine
from factory.engines import open_generator, open_scorer
from factory.engines.base import Reply, Request, ScoreRequest
from factory.engines.scripted import OPENINGS, ScriptedModel
from factory.errors import EngineError, InputError
from factory.models.ref import ModelRef

MODEL = ModelRef("toy")


def ask(text="Explain tides.", name="r/1", tags=None, **values):
    return Request(
        name, [{"role": "user", "content": text}], values.pop("max_new_tokens", 200), tags=tags or {}, **values
    )


def made_up(*requests):
    with open_generator(ScriptedEngine(), MODEL) as engine:
        return list(engine.generate(requests))


def replies(view, n):
    tags = {"stage": "reply", "view": view}
    return [
        c.text
        for c in made_up(*(ask(f"Question {i}", f"reply/{i}/{view}", {**tags, "prompt_id": str(i)}) for i in range(n)))
    ]


def test_same_request_same_answer_and_seed_view_model_each_change_it():
    tags = {"stage": "reply", "view": "good", "prompt_id": "p"}
    one, again, other_seed = made_up(ask(tags=tags), ask(tags=tags), ask(tags=tags, seed=1))
    assert one == again
    assert one.text != other_seed.text
    with open_generator(ScriptedEngine(), ModelRef("toy", fingerprint="trained")) as engine:
        assert next(iter(engine.generate([ask(tags=tags)]))).text != one.text


def test_good_replies_are_longer_than_bad_ones_often_but_not_always():
    pairs = list(zip(replies("good", 60), replies("bad", 60), strict=True))
    longer = sum(len(good) > len(bad) for good, bad in pairs)
    assert 30 < longer < 58
    assert all(good != bad for good, bad in pairs)
    assert len({good for good, _ in pairs}) == 60


def test_tokens_are_words_and_a_reply_is_cut_at_its_limit():
    whole, cut = made_up(ask("one two three"), ask("one two three", max_new_tokens=5))
    assert (whole.prompt_tokens, whole.finish) == (3, "stop")
    assert whole.completion_tokens == len(whole.text.split())
    assert (cut.text, cut.finish, cut.completion_tokens) == (" ".join(whole.text.split()[:5]), "length", 5)


def test_features_are_two_of_the_options_or_unreadable():
    options = ["Accuracy", "Safety", "Logicality"]
    tags = {"stage": "features", "options": "|".join(options)}
    answers = [c.text for c in made_up(*(ask(f"Question {i}", f"f/{i}", tags) for i in range(200)))]
    readable = [a.split(", ") for a in answers if set(a.split(", ")) <= set(options)]
    assert all(len(set(names)) == 2 for names in readable)
    assert 5 <= 200 - len(readable) <= 40


def votes(n):
    """Per pair the side voted for with chosen first and with rejected first."""
    for i in range(n):
        sides = []
        for order, first in (("chosen_first", "m"), ("rejected_first", "M")):
            tags = {"stage": "judge", "pair_id": str(i), "order": order, "first": first}
            (answer,) = made_up(ask(f"Judge {i}", f"judge/{i}/{order}", tags, choices=("m", "M")))
            assert math.isclose(sum(map(math.exp, answer.choice_logprobs.values())), 1)
            assert max(answer.choice_logprobs, key=answer.choice_logprobs.get) == answer.text
            sides.append((answer.text == first) == (order == "chosen_first"))
        yield tuple(sides)


def test_judge_favours_chosen_in_four_of_five_and_some_votes_follow_the_slot():
    counts = dict.fromkeys(((True, True), (False, False), (True, False), (False, True)), 0)
    for pair in votes(300):
        counts[pair] += 1
    assert 215 <= counts[True, True] <= 265
    assert counts[False, False] > 10
    assert counts[True, False] > 10
    assert counts[False, True] == 0


def test_script_is_given_in_order_and_running_out_is_an_error(tmp_path):
    script = tmp_path / "script.jsonl"
    lines = [{"text": "one"}, {"error": "broken"}, {"text": "m", "choice_logprobs": {"m": -0.1}, "finish": "length"}]
    script.write_text("\n".join(map(json.dumps, lines)) + "\n", "utf-8")
    with open_generator(ScriptedEngine(script=str(script)), MODEL) as engine:
        one, broken = engine.generate([ask(name="a"), ask(name="b")])
        assert (one.id, one.text, broken.text, broken.error) == ("a", "one", None, "broken")
        answers = engine.generate([ask(name="c"), ask(name="d")])
        third = next(answers)
        assert (third.choice_logprobs, third.finish) == ({"m": -0.1}, "length")
        with pytest.raises(EngineError, match="has run out after 3 answers"):
            next(answers)


@pytest.mark.parametrize(
    ("line", "what"),
    [("{", "line 2 is not JSON"), ('{"txt": "a"}', "line 2: an answer is"), ("3", "line 2: an answer")],
)
def test_a_bad_script_line_is_named(tmp_path, line, what):
    script = tmp_path / "script.jsonl"
    script.write_text('{"text": "fine"}\n' + line, "utf-8")
    with pytest.raises(InputError, match=what):
        ScriptedModel(ScriptedEngine(script=str(script)), MODEL)
    with pytest.raises(InputError, match="cannot be read"):
        ScriptedModel(ScriptedEngine(script=str(tmp_path / "none")), MODEL)


def test_a_reply_is_likelier_under_the_view_it_was_made_for():
    good, bad = f"{OPENINGS['good'][0]} yes.", f"{OPENINGS['bad'][0]} no."
    turns = [{"role": "user", "content": "Why?"}]
    requests = [
        ScoreRequest(f"score/p/{view}", turns, (Reply(good, True), Reply(bad, False))) for view in ("good", "bad")
    ]
    with open_scorer(ScriptedEngine(), MODEL) as scorer:
        under_good, under_bad = scorer.score(requests)
        assert [under_good, under_bad] == list(scorer.score(requests))
    assert under_good.logps[0] > under_bad.logps[0]
    assert under_good.logps[1] < under_bad.logps[1]
    assert under_good.tokens == (len(good.split()) + 1, len(bad.split()))
