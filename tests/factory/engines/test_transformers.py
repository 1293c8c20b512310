import math

import polars as pl
import pytest
import torch

from factory.config import Judge
from factory.config.engines import TransformersEngine
from factory.engines import open_generator, open_scorer, transformers
from factory.engines.base import Reply, Request, ScoreRequest
from factory.engines.decoding import DecodingRow
from factory.engines.kv_cache import InPlaceKVCache
from factory.engines.render import first_tokens
from factory.engines.transformers import TransformersModel
from factory.errors import EngineError
from factory.identity import digest
from factory.models.chat import prompt_ids, reply_ids
from factory.models.load import load_model, load_tokenizer
from factory.models.ref import ModelRef
from factory.models.sequences import SequencePlan
from factory.stages.judge import JudgeWithEngine, judge
from tests.tiny import tiny_model_folder

FULL, WINDOWED = ("llama", "qwen2", "qwen3"), ("mistral", "gemma2")
QUESTIONS = [
    "Explain how bread rises.",
    "Hi",
    "The moon, the sea and the old sailor: write a short poem about all three of them, please.",
    "Is the dull answer lively?",
    "A storm at sea taught the old sailor to be patient. " * 3,
    "Why?",
]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("models")
    return {arch: tiny_model_folder(root / arch, arch) for arch in FULL + WINDOWED}


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def block(**values):
    return TransformersEngine(device="cpu", dtype=values.pop("dtype", "float32"), **values)


def asked(**values):
    values = {"max_new_tokens": 24, "temperature": 0.0, **values}
    return [
        Request(f"r/{i}", [{"role": "user", "content": text}], seed=i, **values) for i, text in enumerate(QUESTIONS)
    ]


def answers(folder, requests, **values):
    with open_generator(block(**values), ModelRef(str(folder))) as engine:
        return ask(engine, requests)


def ask(engine, requests):
    found = list(engine.generate(requests))
    assert sorted(c.id for c in found) == sorted(r.id for r in requests)
    return {c.id: c for c in found}


@pytest.mark.parametrize("arch", FULL + WINDOWED)
def test_greedy_replies_are_those_of_generate(folders, arch):
    ref = ModelRef(str(folders[arch]))
    model, tokenizer = load_model(ref), load_tokenizer(ref)
    found = answers(folders[arch], asked())
    for request in asked():
        ids = prompt_ids(tokenizer, request.messages)
        new = model.generate(torch.tensor([ids]), max_new_tokens=24, do_sample=False)[0, len(ids) :].tolist()
        ended = new[-1] == tokenizer.eos_token_id
        answer = found[request.id]
        assert answer.text == tokenizer.decode(new, skip_special_tokens=True)
        assert (answer.finish, answer.completion_tokens) == ("stop" if ended else "length", len(new))
        assert answer.prompt_tokens == len(ids)


@pytest.mark.parametrize("arch", ["llama", "mistral"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_reply_depends_on_its_request_alone(folders, arch, dtype):
    if (arch, dtype) == ("mistral", "bfloat16"):
        pytest.skip("rounding differs with the padding of the model's own cache")
    requests = asked(temperature=0.9, top_p=0.9)
    with open_generator(block(dtype=dtype), ModelRef(str(folders[arch]))) as engine:
        together = ask(engine, requests)
        assert together == ask(engine, requests[::-1])
        for request in requests[:4]:
            assert ask(engine, [request])[request.id] == together[request.id]
        other_seed = [Request(r.id, r.messages, 24, 0.9, 0.9, r.seed + 100) for r in requests]
        assert all(other.text != together[name].text for name, other in ask(engine, other_seed).items())
    assert together == answers(folders[arch], requests, dtype=dtype, batch_tokens=230)


def test_rows_that_begin_alike_share_their_beginning_and_the_reply_stays_the_same(folders):
    system = {"role": "system", "content": "The engaging answer is lively, and the dull answer is not. " * 4}
    requests = [
        Request(f"r/{i}/{k}", [system, {"role": "user", "content": text}], 12, 0.8, 0.9, seed=10 * i + k)
        for i, text in enumerate(QUESTIONS)
        for k in range(2)
    ]
    with open_generator(block(), ModelRef(str(folders["llama"]))) as engine:
        together = ask(engine, requests)
        for request in requests[:4]:
            assert ask(engine, [request])[request.id] == together[request.id]


def test_a_finished_reply_ends_before_its_end_token_and_counts_it(folders, monkeypatch):
    ref = ModelRef(str(folders["llama"]))
    tokenizer = load_tokenizer(ref)
    script = [*tokenizer("All is well.").input_ids, tokenizer.eos_token_id, 50, 50]
    steps = iter(script)
    monkeypatch.setattr(
        "factory.engines.decoding.pick", lambda logits, *_: torch.full((len(logits),), next(steps), dtype=torch.long)
    )
    answer = answers(folders["llama"], asked()[:1])["r/0"]
    assert (answer.text, answer.finish, answer.completion_tokens) == ("All is well.", "stop", len(script) - 2)


def test_every_end_of_turn_stops(folders, monkeypatch):
    ref = ModelRef(str(folders["llama"]))
    tokenizer = load_tokenizer(ref)
    other = tokenizer.convert_tokens_to_ids("<|endoftext|>")
    monkeypatch.setattr(
        "factory.engines.decoding.pick", lambda logits, *_: torch.full((len(logits),), other, dtype=torch.long)
    )
    assert answers(folders["llama"], asked()[:1])["r/0"].finish == "length"
    load = "factory.engines.transformers.load_model"
    model = load_model(ref)
    model.generation_config.eos_token_id = [tokenizer.eos_token_id, other]
    monkeypatch.setattr(load, lambda *_: model)
    assert answers(folders["llama"], asked()[:1])["r/0"].finish == "stop"


def test_choices_are_read_from_the_prompt_in_one_pass(folders):
    ref = ModelRef(str(folders["llama"]))
    model, tokenizer = load_model(ref), load_tokenizer(ref)
    found = answers(folders["llama"], asked(choices=("m", "M")))
    for request in asked():
        with torch.no_grad():
            logps = model(torch.tensor([prompt_ids(tokenizer, request.messages)])).logits[0, -1].log_softmax(-1)
        answer = found[request.id]
        for name in ("m", "M"):
            assert math.isclose(answer.choice_logprobs[name], float(logps[tokenizer(name).input_ids[0]]), abs_tol=1e-4)
        assert answer.text == max(answer.choice_logprobs, key=answer.choice_logprobs.get)
        assert (answer.finish, answer.completion_tokens) == ("stop", 1)


def test_choices_that_are_equally_likely_are_no_answer():
    """The first of them would be a vote for whatever is shown first."""
    row = DecodingRow([1, 2], 3, choices={"m": 4, "M": 5})
    row.choose(torch.zeros(8))
    assert (row.new, row.finish) == ([], "stop")
    assert row.choice_logprobs["m"] == row.choice_logprobs["M"] == pytest.approx(-math.log(8))
    row.choose(torch.eye(8)[5])
    assert row.new == [5]


def test_a_local_judge_gives_its_probability_to_every_vote(tmp_path):
    """Though the two identifiers are unlikely words for a model that says anything."""
    pairs = pl.DataFrame(
        {
            "pair_id": [digest(number) for number in range(4)],
            "prompt": [[{"role": "user", "content": "q"}]] * 4,
            "chosen": ["a b c", "d", "e f", "g"],
            "rejected": ["h", "i j k", "l", "m n"],
        }
    )
    folder = tiny_model_folder(tmp_path / "judge", context=2048)
    with open_generator(block(), ModelRef(str(folder))) as engine:
        votes = judge(pairs, [JudgeWithEngine(Judge(name="J"), engine)], None, 1)
    assert votes.height == 8
    read = votes.filter(pl.col("vote").is_not_null())
    assert read.height
    assert read["p_chosen"].null_count() == 0
    assert ((read["p_chosen"] > 0.5) == (read["vote"] == "chosen")).all()


def test_choices_that_begin_alike_cannot_be_told_apart(folders):
    tokenizer = load_tokenizer(ModelRef(str(folders["llama"])))
    assert first_tokens(tokenizer, ("m", "M")).keys() == {"m", "M"}
    assert first_tokens(tokenizer, ("zq", "zx")) is None
    assert first_tokens(tokenizer, ()) is None
    answer = answers(folders["llama"], asked(choices=("zq", "zx"), max_new_tokens=3)[:1])["r/0"]
    assert answer.choice_logprobs is None
    assert answer.completion_tokens > 0


def test_a_prompt_beyond_the_context_fails_alone_and_a_long_one_has_less_room(folders, tmp_path):
    folder = tiny_model_folder(tmp_path / "short", context=64)
    long, fits = "moon " * 60, "moon " * 10
    requests = [Request(name, [{"role": "user", "content": name}], 500, 0.0) for name in (long, fits)]
    found = answers(folder, requests)
    assert found[long].text is None
    assert "the model's context only 64" in found[long].error
    assert found[fits].prompt_tokens + found[fits].completion_tokens == 64
    assert found[fits].finish == "length"
    with open_generator(block(), ModelRef(str(folder))) as engine:
        assert engine.context_length == 64
        assert engine.count_tokens([r.messages for r in requests])[1] == found[fits].prompt_tokens


def test_a_failed_batch_is_halved_and_a_row_that_fails_alone_says_why(folders, monkeypatch):
    """Two of six rows are poison, and more than four rows at once do not fit."""
    poison = {"r/1", "r/4"}
    seen = []

    real = InPlaceKVCache.start

    def start(self, rows, shared):
        seen.append(len(rows))
        if self.rows + len(rows) > 4 or any(tuple(row) in ids for row in rows):
            raise RuntimeError("out of memory")
        real(self, rows, shared)

    tokenizer = load_tokenizer(ModelRef(str(folders["llama"])))
    ids = {tuple(prompt_ids(tokenizer, r.messages)) for r in asked() if r.id in poison}
    expected = answers(folders["llama"], [r for r in asked() if r.id not in poison])
    monkeypatch.setattr("factory.engines.kv_cache.InPlaceKVCache.start", start)
    found = answers(folders["llama"], asked())
    assert {name for name, answer in found.items() if answer.error} == poison
    assert found["r/1"].error == "RuntimeError: out of memory"
    assert {name: answer for name, answer in found.items() if name not in poison} == expected
    assert max(seen) == 6
    assert seen[-1] < 4


def test_a_refused_conversation_fails_alone(folders):
    ref = ModelRef(str(folders["llama"]))
    engine = TransformersModel(block(), ref)
    engine._renderer.tokenizer.chat_template = (
        "{% if messages[0]['content'] == 'Hi' %}{{ raise_exception('no greetings') }}{% endif %}"
        + engine._renderer.tokenizer.chat_template
    )
    found = {c.id: c for c in engine.generate(asked())}
    assert "no greetings" in found["r/1"].error
    assert sum(c.error is None for c in found.values()) == 5
    assert engine.count_tokens([asked()[1].messages])[0] > 0


@pytest.mark.parametrize("arch", ["llama", "mistral"])
def test_scores_are_mean_log_probabilities_of_the_reply(folders, arch):
    ref = ModelRef(str(folders[arch]))
    model, tokenizer = load_model(ref), load_tokenizer(ref)
    replies = (Reply("It is baked.", True), Reply("The moon, the sea", False), Reply("", True), Reply("", False))
    requests = [ScoreRequest(r.id, r.messages, replies) for r in asked()]
    with open_scorer(block(batch_tokens=300), ref) as scorer:
        found = {score.id: score for score in scorer.score(requests)}
    assert len(found) == 6
    for request in requests:
        prompt = prompt_ids(tokenizer, request.messages)
        for reply, mean, count in zip(replies, found[request.id].logps, found[request.id].tokens, strict=True):
            ids = reply_ids(tokenizer, reply.text, reply.finished)
            assert count == len(ids)
            if not ids:
                assert mean is None
                continue
            with torch.no_grad():
                logps = model(torch.tensor([prompt + ids])).logits[0, len(prompt) - 1 : -1].log_softmax(-1)
            true = logps[torch.arange(len(ids)), torch.tensor(ids)].mean()
            assert math.isclose(mean, float(true), abs_tol=1e-4)


@pytest.mark.parametrize("layout", ["flat", "masked", "separate"])
def test_a_scoring_pass_holds_no_more_tokens_than_there_is_room_for(layout, folders, monkeypatch):
    """In every layout, padding included; on a CPU no more than CPU_SCORING_TOKENS either."""
    passes, measured = [], transformers.reply_logps
    plan = SequencePlan(layout, None)
    monkeypatch.setattr(transformers, "plan_for", lambda model: plan)
    monkeypatch.setattr(transformers, "CPU_SCORING_TOKENS", 220)

    def watched(model, batch, plan):
        passes.append(batch.input_ids.numel())
        return measured(model, batch, plan)

    monkeypatch.setattr(transformers, "reply_logps", watched)
    replies = tuple(Reply("It is baked. " * times, True) for times in (1, 2, 3))
    requests = [ScoreRequest(r.id, r.messages, replies) for r in asked() if len(r.messages[0]["content"]) < 100]
    ref = ModelRef(str(folders["llama"]))
    for room, most in ((200, 200), (4096, 220)):
        passes.clear()
        with open_scorer(block(batch_tokens=room), ref) as scorer:
            assert len(list(scorer.score(requests))) == len(requests) == 5
        assert max(passes) <= most < sum(passes)


def test_generating_between_scores_changes_neither(folders):
    ref = ModelRef(str(folders["llama"]))
    engine = TransformersModel(block(), ref)
    score = ScoreRequest("s", asked()[0].messages, (Reply("It is baked.", True),))
    before, text = list(engine.score([score])), list(engine.generate(asked()[:2]))
    assert list(engine.score([score])) == before
    assert list(engine.generate(asked()[:2])) == text
    engine.close()
    assert list(engine.score([score])) == before


def test_a_reply_beyond_the_context_is_not_scored_and_fails_alone(folders, monkeypatch):
    turns = asked()[0].messages
    requests = [
        ScoreRequest("long", turns, (Reply("moon " * 600, True),)),
        ScoreRequest("s", turns, (Reply("a", True),)),
    ]
    with open_scorer(block(), ModelRef(str(folders["llama"]))) as scorer:
        found = {score.id: score for score in scorer.score(requests)}
    assert found["long"].logps == (None,)
    assert "context only 512" in found["long"].error
    assert found["s"].error is None


def test_a_scoring_batch_that_fails_is_halved(folders, monkeypatch):
    turns = asked()[0].messages
    requests = [ScoreRequest(f"s/{i}", turns, (Reply("a" * (i + 1), True),)) for i in range(5)]
    ref = ModelRef(str(folders["llama"]))
    with open_scorer(block(), ref) as scorer:
        expected = {score.id: score for score in scorer.score(requests)}
        real = scorer._means

        def means(items):
            if len(items) > 1 or len(items[0].replies[0]) == 4:
                raise MemoryError("too much")
            return real(items)

        monkeypatch.setattr(scorer, "_means", means)
        found = {score.id: score for score in scorer.score(requests)}
    failed = {name: score.error for name, score in found.items() if score.error}
    assert list(failed.values()) == ["MemoryError: too much"]
    assert all(found[name].logps[0] == pytest.approx(expected[name].logps[0]) for name in found if name not in failed)


def test_a_model_that_is_not_there_is_one_sentence(tmp_path):
    with pytest.raises(EngineError, match="there is no model folder"), open_generator(block(), ModelRef("./nowhere")):
        pass
