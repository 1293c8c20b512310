"""The cache: what is the same question, what is not, several processes, and what is never kept."""

import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from factory.config.apis import OpenaiEngine, Prices
from factory.engines.api.engine import FILE, ApiGenerator, Cached
from factory.engines.base import Completion, Request
from factory.errors import EngineError
from factory.models.ref import ModelRef
from tests import loopback
from tests.loopback import Loopback

BASE = Request(
    "a",
    [{"role": "system", "content": "the good principle"}, {"role": "user", "content": "hello"}],
    max_new_tokens=16,
    temperature=0.7,
    top_p=0.8,
    seed=1,
)
SAME_QUESTION = replace(BASE, id="b", tags={"stage": "x"})
OTHERS = {
    "system prompt": replace(BASE, messages=[{**BASE.messages[0], "content": "the bad principle"}, BASE.messages[1]]),
    "no system prompt": replace(BASE, messages=BASE.messages[1:]),
    "role": replace(BASE, messages=[{**BASE.messages[0], "role": "user"}, BASE.messages[1]]),
    "user prompt": replace(BASE, messages=[BASE.messages[0], {"role": "user", "content": "hello "}]),
    "earlier turns": replace(BASE, messages=[*BASE.messages, {"role": "assistant", "content": ""}]),
    "turn border": replace(
        BASE, messages=[{"role": "system", "content": "the good"}, {"role": "user", "content": "principle hello"}]
    ),
    "seed": replace(BASE, seed=2),
    "temperature": replace(BASE, temperature=0.0),
    "top_p": replace(BASE, top_p=0.9),
    "max_new_tokens": replace(BASE, max_new_tokens=17),
    "choices": replace(BASE, choices=("m", "M")),
    "order of choices": replace(BASE, choices=("M", "m")),
}


class Counting:
    """An engine that counts what it is asked."""

    def __init__(self, error: str | None = None) -> None:
        self.asked: list[str] = []
        self._error = error

    def generate(self, requests: Sequence[Request]) -> Iterator[Completion]:
        for request in requests:
            self.asked.append(request.id)
            yield Completion(request.id, f"answer {len(self.asked)}", "stop", 3, 4, 0.5, {"m": -0.1}, self._error)


def cached(engine: Counting, folder: Path, identity: str = "openai http://one m") -> Callable[..., list[Completion]]:
    def ask(*requests: Request) -> list[Completion]:
        cache = Cached(engine.generate, identity, folder)
        try:
            return list(cache.generate(requests))
        finally:
            cache.close()

    return ask


def test_the_same_question_is_asked_once_and_costs_nothing_the_second_time(tmp_path: Path) -> None:
    engine = Counting()
    ask = cached(engine, tmp_path)
    first = ask(BASE)[0]
    assert first == Completion("a", "answer 1", "stop", 3, 4, 0.5, {"m": -0.1})
    assert ask(SAME_QUESTION) == [replace(first, id="b", cost=0.0)]
    assert engine.asked == ["a"]


@pytest.mark.parametrize("what", OTHERS)
def test_another_question_is_another_key(what: str, tmp_path: Path) -> None:
    engine = Counting()
    ask = cached(engine, tmp_path)
    ask(BASE)
    assert ask(OTHERS[what])[0].text == "answer 2"
    assert ask(BASE)[0].text == "answer 1"


@pytest.mark.parametrize("identity", ["openai http://two m", "openai http://one m2", "openai http://one m 0123"])
def test_another_endpoint_model_or_body_is_another_key(identity: str, tmp_path: Path) -> None:
    engine = Counting()
    cached(engine, tmp_path)(BASE)
    assert cached(engine, tmp_path, identity)(BASE)[0].text == "answer 2"


def test_equal_questions_in_one_call_are_asked_once(tmp_path: Path) -> None:
    engine = Counting()
    found = cached(engine, tmp_path)(BASE, SAME_QUESTION, replace(OTHERS["seed"], id="c"))
    assert [(done.id, done.text, done.cost) for done in found] == [
        ("a", "answer 1", 0.5),
        ("b", "answer 1", 0.0),
        ("c", "answer 2", 0.5),
    ]


def test_failures_are_not_kept(tmp_path: Path) -> None:
    engine = Counting(error="no")
    ask = cached(engine, tmp_path)
    assert [done.error for done in (*ask(BASE), *ask(BASE))] == ["no", "no"]
    assert engine.asked == ["a", "a"]


def test_answers_beyond_one_page_are_all_found(tmp_path: Path) -> None:
    requests = [replace(BASE, id=f"r{i}", seed=i) for i in range(1203)]
    engine = Counting()
    ask = cached(engine, tmp_path)
    first = {done.id: done.text for done in ask(*requests)}
    assert {done.id: done.text for done in ask(*reversed(requests))} == first
    assert len(engine.asked) == 1203


def test_a_broken_file_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"this is no database" * 100)
    with pytest.raises(
        EngineError, match=r"answers\.sqlite cannot be used .* remove the file or choose another cache_dir"
    ):
        cached(Counting(), tmp_path)(BASE)


_WRITER = """
import sys
from pathlib import Path
from tests.factory.engines.api.test_cache import BASE, Counting, cached, replace
start = int(sys.argv[2])
cached(Counting(), Path(sys.argv[1]))(*(replace(BASE, id=f"r{i}", seed=i) for i in range(start, start + 100)))
"""


def test_several_processes_write_into_one_folder(tmp_path: Path) -> None:
    writers = [
        subprocess.Popen([sys.executable, "-c", _WRITER, str(tmp_path), str(start)], cwd=Path(__file__).parents[4])
        for start in (0, 50, 100)
    ]
    assert [writer.wait() for writer in writers] == [0, 0, 0]
    engine = Counting()
    cached(engine, tmp_path)(*(replace(BASE, id=f"r{i}", seed=i) for i in range(200)))
    assert engine.asked == []


def test_two_endpoints_share_no_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-marked-0123456789")

    def ask(server: Loopback, **options: object) -> Completion:
        block = OpenaiEngine(base_url=server.base_url, cache_dir=str(tmp_path), prices=Prices(prompt=1.0), **options)
        engine = ApiGenerator(block, ModelRef("m"))
        try:
            return next(iter(list(engine.generate([BASE]))))
        finally:
            engine.close()

    with Loopback() as one, Loopback(lambda seen: loopback.Spoken("from two")) as two:
        first = ask(one)
        assert ask(one) == replace(first, cost=0.0)
        assert ask(one, max_concurrency=2, timeout=5.0) == replace(first, cost=0.0)
        assert len(one.asked) == 1
        assert ask(two).text == "from two"
        assert ask(one, extra_body={"top_k": 1}).cost != 0
        assert ask(one, model="other").cost != 0
        assert len(one.asked) == 3
    kept = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert b"sk-marked" not in kept
