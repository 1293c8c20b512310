"""An engine that can run nothing says so at once; requests that fail, however many, are no such engine."""

import pytest

from factory.config.engines import TransformersEngine
from factory.engines import open_generator, open_scorer
from factory.engines.base import Reply, Request, ScoreRequest
from factory.engines.kv_cache import InPlaceKVCache, ModelKVCache
from factory.errors import EngineError
from factory.models.ref import ModelRef
from tests.tiny import tiny_model_folder

BLOCK = TransformersEngine(device="cpu", dtype="float32")
WORDS = r"^the model fails on every request, even one of two tokens: RuntimeError: no kernel$"


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("models")
    return {arch: str(tiny_model_folder(root / arch, arch)) for arch in ("llama", "mistral")}


def generator(folder):
    return open_generator(BLOCK, ModelRef(folder))


def asked():
    return [Request(f"r/{n}", [{"role": "user", "content": "moon " * (n + 1)}], 8, seed=n) for n in range(6)]


def failing(real, poison, words, tried):
    """`real`, but for prompts that `poison` holds; tells of each in `tried`."""

    def start(self, rows, shared):
        tried.append(len(rows))
        if any(poison(row) for row in rows):
            raise RuntimeError(words)
        return real(self, rows, shared)

    return start


@pytest.mark.parametrize("arch", ["llama", "mistral"])
def test_a_model_that_can_run_nothing_ends_with_its_words(folders, arch, monkeypatch):
    """Of 200 requests three are tried to the end, and the least one there is."""
    kind, tried = (InPlaceKVCache if arch == "llama" else ModelKVCache), []
    monkeypatch.setattr(kind, "start", failing(kind.start, lambda row: True, "no kernel", tried))
    requests = [Request(f"r/{i}", asked()[i % 6].messages, 8, seed=i) for i in range(200)]
    with generator(folders[arch]) as engine, pytest.raises(EngineError, match=WORDS):
        list(engine.generate(requests))
    assert len(tried) < 30
    assert tried[-1] == 1


@pytest.mark.parametrize("words", ["no kernel", "CUDA out of memory. Tried to allocate 2.00 GiB."])
def test_requests_that_fail_are_no_broken_engine(folders, words, monkeypatch):
    """Every one of them, as when a run that is resumed asks again for those that failed; nor is a lack of memory."""
    least = 2 if words == "no kernel" else 0
    start = failing(InPlaceKVCache.start, lambda row: len(row) > least, words, [])
    monkeypatch.setattr(InPlaceKVCache, "start", start)
    with generator(folders["llama"]) as engine:
        found = list(engine.generate(asked()))
    assert len(found) == 6
    assert {one.error for one in found} == {f"RuntimeError: {words}"}


@pytest.mark.parametrize("least", [0, 2])
def test_a_model_that_can_score_nothing_ends_with_its_words(folders, least, monkeypatch):
    requests = [ScoreRequest(one.id, one.messages, (Reply("a", True),)) for one in asked()]
    with open_scorer(BLOCK, ModelRef(folders["llama"])) as scorer:
        real = scorer._means

        def means(items):
            if items[0].longest > least:
                raise RuntimeError("no kernel")
            return real(items)

        monkeypatch.setattr(scorer, "_means", means)
        if least:
            assert [one.error for one in scorer.score(requests)] == ["RuntimeError: no kernel"] * 6
        else:
            with pytest.raises(EngineError, match=WORDS):
                list(scorer.score(requests))
