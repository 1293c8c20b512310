import json
import math
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from factory.engines.base import Completion, Reply, Request, Score, ScoreRequest, recorded_completion, recorded_score
from factory.errors import EngineError
from factory.identity import digest
from factory.progress import Progress, Silent
from factory.store.journal import Asker, Journal, journaled
from tests.heard import Heard

KEY, OTHER = digest("a"), digest("b")


def test_what_is_appended_is_read_back_after_reopening(tmp_path: Path) -> None:
    with Journal(tmp_path / "j") as journal:
        journal.append(KEY, {"text": "ünïcode \n ☃"})
        assert journal.get(KEY) == {"text": "ünïcode \n ☃"}
    with Journal(tmp_path / "j") as journal:
        assert journal.get(KEY) == {"text": "ünïcode \n ☃"}
        assert journal.get(OTHER) is None
        assert len(journal) == 1


def test_a_torn_last_line_is_cut_off_and_the_next_record_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "j"
    with Journal(path) as journal:
        journal.append(KEY, {"n": 1})
    with path.open("ab") as file:
        file.write(b'{"key": "' + OTHER.encode()[:5])
    with Journal(path) as journal:
        assert len(journal) == 1
        journal.append(OTHER, {"n": 2})
    with Journal(path) as journal:
        assert journal.get(KEY) == {"n": 1}
        assert journal.get(OTHER) == {"n": 2}


@pytest.mark.parametrize(
    "line",
    [
        b"\n",
        b"garbage\n",
        b"{}\n",
        b'{"key": "zz", "value": {}}\n',
        b'{"key": 3, "value": {}}\n',
        b"\xff\x00\n",
        b"[1]\n",
        b"[" * 100_000 + b"\n",
    ],
)
def test_a_garbage_line_is_skipped_and_counted(tmp_path: Path, line: bytes) -> None:
    path = tmp_path / "j"
    with Journal(path) as journal:
        journal.append(KEY, {"n": 1})
    path.write_bytes(line + path.read_bytes())
    with Journal(path) as journal:
        assert journal.skipped == 1
        assert journal.get(KEY) == {"n": 1}


def test_a_record_is_with_the_operating_system_when_append_returns(tmp_path: Path) -> None:
    code = (
        "import os, signal, sys; from pathlib import Path; from factory.store.journal import Journal\n"
        f"journal = Journal(Path(sys.argv[1])); journal.append('{KEY}', {{'n': 1}})\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "j")], check=False, cwd=Path.cwd())
    assert done.returncode == -signal.SIGKILL
    with Journal(tmp_path / "j") as journal:
        assert journal.get(KEY) == {"n": 1}


class Noted:
    """A file, and how much it was given at each write."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self.writes: list[int] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def write(self, data: bytes) -> int:
        self.writes.append(len(data))
        written: int = self._file.write(data)
        return written


def test_records_written_together_are_in_one_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a process that is killed leaves all of them or none."""
    records = {digest(str(n)): {"score": "x" * 5000} for n in range(9)}
    with Journal(tmp_path / "j.jsonl") as journal:
        noted = Noted(journal._file)
        monkeypatch.setattr(journal, "_file", noted)
        journal.append(KEY, {"score": 1})
        journal.extend(records)
        assert [written > 45_000 for written in noted.writes] == [False, True]
        assert all(journal.get(key) == value for key, value in records.items())
    with Journal(tmp_path / "j.jsonl") as again:
        assert (len(again), again.skipped) == (10, 0)
        assert again.get(KEY) == {"score": 1}


class Counting:
    """Answers with the request's id, fails what it is told to fail, and counts what it is asked."""

    identity = "counting"

    def __init__(self, failing: Sequence[str] = ()) -> None:
        self.failing, self.asked = failing, []

    def generate(self, requests: Sequence[Request]) -> Iterator[Completion]:
        for request in requests:
            self.asked.append(request.id)
            failed = request.id in self.failing
            yield Completion(request.id, None if failed else f"to {request.id}", error="no" if failed else None)

    def score(self, requests: Sequence[ScoreRequest]) -> Iterator[Score]:
        for request in requests:
            self.asked.append(request.id)
            yield Score(request.id, tuple(-1.0 for _ in request.replies), tuple(3 for _ in request.replies))


def ask(engine: Counting, path: Path, names: str, progress: Progress | None = None) -> dict[str, Completion]:
    requests = [Request(name, [{"role": "user", "content": name}], 8) for name in names]
    with Journal(path) as journal:
        asker = Asker(journal, progress or Silent(), "test")
        answers = journaled(engine.generate, recorded_completion, engine.identity, requests, asker)
        return {answer.id: answer for answer in answers}


def test_an_answer_is_paid_for_once(tmp_path: Path) -> None:
    engine = Counting()
    first = ask(engine, tmp_path / "j", "ab")
    second = ask(engine, tmp_path / "j", "abc")
    assert engine.asked == ["a", "b", "c"]
    assert second["a"] == first["a"]


def test_what_is_in_the_journal_was_done_before(tmp_path: Path) -> None:
    heard = Heard()
    ask(Counting(), tmp_path / "j", "ab")
    ask(Counting(), tmp_path / "j", "abcde", heard)
    ask(Counting(), tmp_path / "j", "abc", heard)
    assert heard.started == [("test", 5, "requests", 2)]
    assert heard.lines == ["  2 of 5 answers are in the journal"]  # nothing where there is nothing to ask
    assert (heard.done, heard.finished) == (3, 1)


@pytest.mark.parametrize(
    "harm",
    [
        {"text": 5},
        {"text": None},
        {"id": None},
        {"finish": []},
        {"error": {}},
        {"choice_logprobs": "x"},
    ],
)
def test_a_record_that_is_no_answer_is_asked_again_and_the_new_one_counts(tmp_path: Path, harm: dict[str, Any]) -> None:
    engine = Counting()
    ask(engine, tmp_path / "j", "ab")
    rows = [json.loads(line) for line in (tmp_path / "j").read_text().splitlines()]
    rows[0]["value"] |= harm
    (tmp_path / "j").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    for _ in range(2):
        assert {name: done.text for name, done in ask(engine, tmp_path / "j", "ab").items()} == {
            "a": "to a",
            "b": "to b",
        }
    assert engine.asked == ["a", "b", "a"]


@pytest.mark.parametrize("number", [10**23, 10**400, -1, 1.5, True, "x", math.nan, []])
@pytest.mark.parametrize("name", ["prompt_tokens", "completion_tokens", "cost", "choice_logprobs"])
def test_a_journal_with_an_impossible_number_is_read_without_it(tmp_path: Path, name: str, number: Any) -> None:
    """What an older version wrote down poisons no resume."""
    engine = Counting()
    ask(engine, tmp_path / "j", "a")
    row = json.loads((tmp_path / "j").read_text())
    row["value"][name] = {"m": number} if name == "choice_logprobs" else number
    (tmp_path / "j").write_text(f"{json.dumps(row)}\n")
    found = getattr(ask(engine, tmp_path / "j", "a")["a"], name)
    assert (
        found is None
        or (name == "cost" and found == number == 1.5)
        or (name == "choice_logprobs" and found == {"m": -1.0})
    )
    assert engine.asked == ["a"]


def test_a_failed_request_is_asked_again(tmp_path: Path) -> None:
    engine = Counting(failing=["a"])
    assert ask(engine, tmp_path / "j", "ab")["a"].error == "no"
    engine.failing = []
    assert ask(engine, tmp_path / "j", "ab")["a"].text == "to a"
    assert engine.asked == ["a", "b", "a"]


def test_another_engine_does_not_answer_from_the_journal(tmp_path: Path) -> None:
    engine = Counting()
    ask(engine, tmp_path / "j", "a")
    engine.identity = "another"
    ask(engine, tmp_path / "j", "a")
    assert engine.asked == ["a", "a"]


def test_scores_are_computed_once(tmp_path: Path) -> None:
    engine = Counting()
    request = ScoreRequest("s", [{"role": "user", "content": "hi"}], (Reply("x", True), Reply("y", False)))
    for _ in range(2):
        with Journal(tmp_path / "j") as journal:
            asker = Asker(journal, Silent(), "test")
            (score,) = journaled(engine.score, recorded_score, engine.identity, [request], asker)
        assert score == Score("s", (-1.0, -1.0), (3, 3))
    assert engine.asked == ["s"]


def test_a_score_that_is_none_is_computed_again(tmp_path: Path) -> None:
    engine = Counting()
    request = ScoreRequest("s", [{"role": "user", "content": "hi"}], (Reply("x", True),))
    for harm in ({}, {"logps": 3}, {"tokens": []}, {"id": 1}):
        if harm:
            row = json.loads((tmp_path / "j").read_text().splitlines()[-1])
            row["value"] |= harm
            (tmp_path / "j").write_text(f"{json.dumps(row)}\n")
        with Journal(tmp_path / "j") as journal:
            asker = Asker(journal, Silent(), "test")
            (score,) = journaled(engine.score, recorded_score, engine.identity, [request], asker)
        assert score == Score("s", (-1.0,), (3,))
    assert engine.asked == ["s"] * 4


@pytest.mark.parametrize("role", ["system", "user"])
def test_the_keys_of_an_answer_and_of_a_score_hold_every_message(role: str) -> None:
    """The good principle's answer, or its score, must never pass for the bad one's."""
    one, other = ([{"role": role, "content": word}, {"role": "user", "content": "x"}] for word in ("good", "bad"))
    assert Request("r", one, 8).key("engine") != Request("r", other, 8).key("engine")
    assert Request("r", one, 8).content_key("engine") != Request("r", other, 8).content_key("engine")
    reply = (Reply("y", True),)
    keys = {ScoreRequest("r", turns, reply).key(engine) for turns in (one, other) for engine in ("engine", "another")}
    assert len(keys | {ScoreRequest("r", one, (Reply("y", False),)).key("engine")}) == 5


def test_descriptors_are_closed(tmp_path: Path) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    for number in range(20):
        with Journal(tmp_path / str(number)) as journal:
            journal.append(KEY, {})
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_a_record_whose_key_only_begins_alike_is_not_taken_for_another(tmp_path):
    one, other = "00" * 8 + "11" * 8, "00" * 8 + "22" * 8
    with Journal(tmp_path / "j.jsonl") as journal:
        journal.append(one, {"text": "one"})
        assert journal.get(one) == {"text": "one"}
        assert journal.get(other) is None
        journal.append(other, {"text": "other"})
        assert journal.get(other) == {"text": "other"}


@pytest.mark.parametrize(
    "wrong",
    [lambda r: "a text", lambda r: Completion(f"other/{r.id}", "x"), lambda r: (r.id, "x"), lambda r: None],
    ids=["text", "another id", "tuple", "nothing"],
)
def test_what_answers_no_request_ends_the_stage_and_what_came_before_is_kept(tmp_path: Path, wrong: Any) -> None:
    requests = [Request(f"q/{n}", [{"role": "user", "content": "?"}], 8) for n in range(2)]

    def ask(asked: Sequence[Request]) -> Iterator[Any]:
        yield Completion(asked[0].id, "well")
        yield wrong(asked[1])

    with Journal(tmp_path / "j") as journal, pytest.raises(EngineError, match="answers nothing that it was asked"):
        list(journaled(ask, recorded_completion, "e", requests, Asker(journal, Silent(), "replies 1")))
    with Journal(tmp_path / "j") as journal:
        assert len(journal) == 1


def test_a_second_answer_to_a_request_is_refused(tmp_path: Path) -> None:
    """It would be counted twice, and a resumed run would have the other one."""
    request = Request("q", [{"role": "user", "content": "?"}], 8)
    twice = lambda asked: iter([Completion("q", "first"), Completion("q", "second")])  # noqa: E731
    with Journal(tmp_path / "j") as journal, pytest.raises(EngineError, match="'second'"):
        list(journaled(twice, recorded_completion, "e", [request], Asker(journal, Silent(), "replies 1")))
