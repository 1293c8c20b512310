"""The Batch API: splitting, joining, resuming, resending."""

import json
from pathlib import Path
from typing import Any

import pytest

from factory.config.apis import OpenaiEngine, Prices
from factory.engines.api import batch
from factory.engines.api.accounts import Account, Spending
from factory.engines.api.batch import Batches
from factory.engines.api.batch_client import BatchClient
from factory.engines.api.endpoint import Endpoint
from factory.engines.api.engine import ApiGenerator
from factory.engines.base import Completion, Request
from factory.errors import EngineError
from factory.identity import digest
from factory.models.ref import ModelRef
from tests.fake_clock import FakeClock
from tests.loopback import CRASH, HANG, RESET, Loopback, Seen, Spoken, Wire, error
from tests.loopback_batch import BatchDesk


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("OPENAI_API_KEY", "sk-marked-0123456789")


def some(count: int, start: int = 0) -> list[Request]:
    return [Request(f"r{i:03}", [{"role": "user", "content": f"number {i}\u2028"}], 16) for i in range(start, count)]


def ask(
    server: Loopback,
    requests: list[Request],
    clock: FakeClock | None = None,
    take: int | None = None,
    **options: object,
) -> list[Completion]:
    """What the engine answers; `take` so many and then break off, as a kill would."""
    block = OpenaiEngine(base_url=server.base_url, batch=True, **options)
    engine = ApiGenerator(block, ModelRef("m"), clock=clock or FakeClock())
    try:
        stream = engine.generate(requests)
        return list(stream) if take is None else [next(stream) for _ in range(take)]
    finally:
        engine.close()


def states(folder: Path) -> list[Path]:
    return list((folder / "sso-factory" / "batches").glob("*.json"))


def test_answers_are_joined_on_custom_id(tmp_path: Path) -> None:
    """2 words sent at 1 a token, 3 received at 2: 8. The server answers in the opposite order."""
    desk, clock = BatchDesk(polls=4), FakeClock()
    with Loopback(other=desk.handle) as server:
        prices = Prices(prompt=1e6, completion=2e6)
        found = ask(server, some(5), clock, batch_poll_seconds=7.0, prices=prices)
    assert {done.id: done.text for done in found} == {f"r{i:03}": f"echo: number {i}\u2028" for i in range(5)}
    assert {done.cost for done in found} == {8.0}
    assert clock.naps == [7.0] * 3
    line = desk.lines(0)[0]
    assert (line["method"], line["url"]) == ("POST", "/v1/chat/completions")
    assert line["body"]["messages"] == [{"role": "user", "content": "number 0\u2028"}]
    assert states(tmp_path) == []


def test_files_are_split_at_the_number_of_requests_and_at_their_size(monkeypatch: pytest.MonkeyPatch) -> None:
    assert batch.MOST_REQUESTS == 50_000
    assert batch.MOST_BYTES == 200 * 10**6
    monkeypatch.setattr(batch, "MOST_REQUESTS", 4)
    desk = BatchDesk()
    with Loopback(other=desk.handle) as server:
        assert len(ask(server, some(10))) == 10
        size = len(desk.files[desk.batches[0].file])
        monkeypatch.setattr(batch, "MOST_BYTES", size // 2)
        assert len(ask(server, some(4))) == 4
    assert [len(desk.lines(n)) for n in range(len(desk.batches))] == [4, 4, 2, 2, 2]


def test_after_a_kill_the_batches_under_way_are_found_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(batch, "MOST_REQUESTS", 4)
    desk = BatchDesk()
    with Loopback(other=desk.handle) as server:
        first = ask(server, some(10), take=5)
        assert len(states(tmp_path)) == 2  # the first batch is dealt with, the other two are not
        arrived = {done.id for done in first}
        rest = ask(server, [request for request in some(10) if request.id not in arrived])
    assert {done.id for done in rest} == {f"r{i:03}" for i in range(10)} - arrived
    assert len(rest) == 10 - len(arrived)
    assert len(desk.batches) == 3  # nothing was sent twice
    assert states(tmp_path) == []


def test_a_kill_between_creating_a_batch_and_writing_its_id_makes_no_second_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    desk = BatchDesk()
    with Loopback(other=desk.handle) as server:
        with monkeypatch.context() as patch:
            write = batch.BatchFolder.write

            def once(self: batch.BatchFolder, sent: batch.Sent) -> None:
                if sent.batch is not None:
                    raise KeyboardInterrupt
                write(self, sent)

            patch.setattr(batch.BatchFolder, "write", once)
            with pytest.raises(KeyboardInterrupt):
                ask(server, some(3))
        assert len(states(tmp_path)) == 1
        assert len(ask(server, some(3))) == 3
        assert len(desk.batches) == 1
        state = states(tmp_path)
    assert state == []


@pytest.mark.parametrize(
    "harm", [{"identity": "openai http://elsewhere/v1 m"}, {"mark": "another"}, {"keys": None}, {"identity": []}]
)
def test_a_batch_of_another_engine_and_a_garbled_one_are_not_taken_over(tmp_path: Path, harm: dict[str, Any]) -> None:
    """Whatever keys it names: another server would be asked for its id."""
    desk = BatchDesk()
    with Loopback(other=desk.handle) as server:
        ask(server, some(3), take=1)
        (state,) = states(tmp_path)
        state.write_text(json.dumps({**json.loads(state.read_text()), **harm}))
        assert len(ask(server, some(3))) == 3
        assert state.is_file()
    assert len(desk.batches) == 2


@pytest.mark.parametrize("text", ["[]", "{", "[" * 100_000, "null", '{"mark": 1}', "\udcff"])
def test_what_lies_in_the_folder_of_batches_is_left_alone(tmp_path: Path, text: str) -> None:
    folder = tmp_path / "sso-factory" / "batches"
    folder.mkdir(parents=True)
    (folder / "x.json").write_text(text, errors="surrogateescape")
    with Loopback(other=BatchDesk().handle) as server:
        assert len(ask(server, some(3))) == 3
    assert states(tmp_path) == [folder / "x.json"]


def test_a_resume_looks_at_each_key_a_few_times(monkeypatch: pytest.MonkeyPatch) -> None:
    """And not at each for every other one: 300 keys would be compared 45,000 times."""
    compared = 0

    class Key(str):
        __slots__ = ()
        __hash__ = str.__hash__

        def __eq__(self, other: object) -> bool:
            nonlocal compared
            compared += 1
            return str.__eq__(self, other)

    monkeypatch.setattr(Request, "key", lambda self, identity: Key(digest([self.id, identity])))
    desk = BatchDesk()
    with Loopback(other=desk.handle) as server:
        ask(server, some(300), take=1)
        compared = 0
        assert len(ask(server, some(300))) == 300
    assert len(desk.batches) == 1
    assert 300 <= compared <= 20 * 300


def test_a_batch_that_was_never_created_is_sent_again(tmp_path: Path) -> None:
    desk = BatchDesk()
    down = [True]

    def handle(seen: Seen) -> Wire | None:
        return error(400, "not now") if down[0] and seen.path == "/v1/batches" else desk.handle(seen)

    with Loopback(other=handle) as server:
        with pytest.raises(EngineError, match=r"failed at a batch .* goes on from here"):
            ask(server, some(3))
        assert len(states(tmp_path)) == 1
        down[0] = False
        assert len(ask(server, some(3))) == 3
    assert len(desk.batches) == 1
    assert states(tmp_path) == []


@pytest.mark.parametrize("fate", ["expired", "missing", "crash"])
def test_what_expired_or_got_lost_is_sent_again(fate: str) -> None:
    desk = BatchDesk(fate=lambda batch, line: fate if batch == 0 and line % 2 else "ok")
    with Loopback(other=desk.handle) as server:
        found = ask(server, some(6))
    assert {done.id: done.text for done in found} == {f"r{i:03}": f"echo: number {i}\u2028" for i in range(6)}
    assert [len(desk.lines(n)) for n in range(2)] == [6, 3]


def test_what_is_lost_for_ever_is_given_up() -> None:
    desk = BatchDesk(fate=lambda batch, line: "missing" if line == 0 else "ok")
    with Loopback(other=desk.handle) as server:
        found = ask(server, some(3), max_retries=2)
    assert {done.id: done.error for done in found if done.error} == {"r000": "the batch brought no answer"}
    assert len(desk.batches) == 3


def test_a_refused_line_is_one_completion_with_an_error() -> None:
    desk = BatchDesk(fate=lambda batch, line: "not liked" if line == 1 else "ok")
    with Loopback(other=desk.handle) as server:
        found = ask(server, some(3))
    assert {done.id: done.error for done in found} == {"r000": None, "r001": "not liked", "r002": None}


def test_a_refused_parameter_is_left_out_of_the_next_batch() -> None:
    desk = BatchDesk(fate=lambda batch, line: "unknown field seed" if batch == 0 else "ok")
    with Loopback(other=desk.handle) as server:
        found = ask(server, some(3))
    assert all(done.text for done in found)
    assert "seed" in desk.lines(0)[0]["body"]
    assert "seed" not in desk.lines(1)[2]["body"]
    assert len(desk.batches) == 2


def test_a_batch_without_room_waits_for_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch, "MOST_REQUESTS", 4)
    desk = BatchDesk(turned_down=lambda number: "token_limit_exceeded" if number == 1 else None)
    desk.polls = 1
    with Loopback(other=desk.handle) as server:
        clock = FakeClock()
        found = ask(server, some(12), clock)
    assert len(found) == 12
    assert [len(desk.lines(n)) for n in range(len(desk.batches))] == [4, 4, 4, 4]


@pytest.mark.parametrize("code", ["token_limit_exceeded", "invalid_json_line"])
def test_a_batch_that_is_turned_down_ends_the_stage(code: str, tmp_path: Path) -> None:
    desk = BatchDesk(turned_down=lambda number: code)
    with Loopback(other=desk.handle) as server, pytest.raises(EngineError, match=f"turned .* down: {code}"):
        ask(server, some(3))
    assert states(tmp_path) == []  # so that the next run may try again


def test_max_cost_is_checked_before_anything_is_sent() -> None:
    desk = BatchDesk()
    with Loopback(other=desk.handle) as server:
        with pytest.raises(EngineError, match=r"max_cost is reached: 0 of 1 is spent, .* may cost 16;"):
            ask(server, some(3), max_cost=1.0, prices=Prices(completion=1e6))
        assert server.log == []


PAID = {"prices": Prices(prompt=1e6, completion=2e6), "batch": True}
"""2 words at 1 and a reply of 3 at 2 come to 8; set aside is the most possible: 9 + 16 x 2 = 41 a request."""


def opened(server: Loopback, folder: Path) -> tuple[ApiGenerator, Account]:
    """An engine and the account of the run that it is charged to, as another process would have them."""
    engine = ApiGenerator(OpenaiEngine(base_url=server.base_url, **PAID), ModelRef("m"), clock=FakeClock())
    accounts = Spending(folder).accounts("engine", 1000.0)
    engine.charge(accounts)
    return engine, accounts[0]


@pytest.mark.parametrize("ended", ["killed", "stopped", "killed, and once more before it asks"])
def test_money_of_a_batch_under_way_at_the_end_of_a_process_is_counted_once(
    ended: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """10 answers come to 80, in files of 4; it ends after 5 of them, when two files are paid for."""
    monkeypatch.setattr(batch, "MOST_REQUESTS", 4)
    desk = BatchDesk()
    with Loopback(other=desk.handle) as server:
        engine, _ = opened(server, tmp_path)
        stream = engine.generate(some(10))
        arrived = {next(stream).id for _ in range(5)}
        if ended == "stopped":
            engine.close()
        if ended == "killed, and once more before it asks":
            opened(server, tmp_path)
        again, account = opened(server, tmp_path)
        assert account.spent == 8 * 8 + 2 * 41
        assert len(list(again.generate([one for one in some(10) if one.id not in arrived]))) == 5
        again.close()
        engine.close()
    assert account.spent == 80.0
    assert len(desk.batches) == 3


@pytest.mark.parametrize("answers", [0, 2])
def test_answers_that_nobody_asks_for_any_more_are_paid_for(answers: int, tmp_path: Path) -> None:
    """10 requests in a batch that had brought so many `answers` at a kill; of the others 3 are asked again.

    One of the others was refused and costs nothing.
    """
    desk = BatchDesk(fate=lambda batch, line: "no" if line == 9 else "ok")
    with Loopback(other=desk.handle) as server:
        killed, _ = opened(server, tmp_path)
        with pytest.MonkeyPatch.context() as patch:
            if not answers:
                patch.setattr(Batches, "_land", lambda *_: iter([Completion("r000", "unread")]))
            stream = killed.generate(some(10))
            arrived = [next(stream).id for _ in range(max(answers, 1))]
        again, account = opened(server, tmp_path)
        assert account.spent == (9 * 8.0 if answers else 10 * 41.0)
        left = [one for one in some(10) if not answers or one.id not in arrived][:3]
        assert len(list(again.generate(left))) == 3
        again.close()
        killed.close()
    assert len(desk.batches) == 1
    assert account.spent == 9 * 8.0


@pytest.mark.parametrize(
    ("line", "worth"), [("{", 0), ("", 0), ('{"custom_id": "alien"}', 0), ("MISSING", 41), ("TWICE", 0)]
)
def test_lines_that_are_none_cost_no_other_answer_and_missing_ones_are_paid_for(
    line: str, worth: int, tmp_path: Path
) -> None:
    """Five such lines before the answers to 3 requests, at 8 each; or the answer to one is not there at first: 41."""
    desk = BatchDesk(fate=lambda batch, n: "missing" if (line, batch, n) == ("MISSING", 0, 2) else "ok")

    def handle(seen: Seen) -> Wire | None:
        wire = desk.handle(seen)
        if wire and seen.path.endswith("/content"):
            many = b"".join(2 * (one + b"\n") for one in wire.body.splitlines()) if line == "TWICE" else wire.body
            return Wire(body=many if line in ("TWICE", "MISSING") else 5 * f"{line}\n".encode() + many)
        return wire

    with Loopback(other=handle) as server:
        engine, account = opened(server, tmp_path)
        assert sorted(done.text or "" for done in engine.generate(some(3))) == [
            f"echo: number {n}\u2028" for n in range(3)
        ]
        engine.close()
    assert len(desk.batches) == 1 + (line == "MISSING")
    assert account.spent == 3 * 8.0 + worth


@pytest.mark.parametrize("gone", ["/v1/batches/", "/v1/files/", "/v1/files"])
def test_a_batch_that_the_server_does_not_know_is_said_with_a_way_out(gone: str, tmp_path: Path) -> None:
    """With another key, when its answers are gone, and where there is no Batch API; the model is not to blame."""
    desk, lost = BatchDesk(), [True]

    def handle(seen: Seen) -> Wire | None:
        path = seen.path.split("?")[0]
        there = path.startswith(gone) if gone.endswith("/") else path == gone
        return error(404, "no such thing") if lost[0] and there else desk.handle(seen)

    with Loopback(other=handle) as server:
        with pytest.raises(EngineError, match="no such batch or file, or has no Batch API") as found:
            ask(server, some(3))
        assert "model" not in str(found.value)
        assert str(tmp_path / "sso-factory" / "batches") in str(found.value)
        for state in states(tmp_path):
            state.unlink()
        lost[0] = False
        assert len(ask(server, some(3))) == 3


def test_log_probabilities_come_through() -> None:
    desk = BatchDesk(answer=lambda seen: Spoken("m", {"m": 0.5, "M": 0.25}))
    request = Request("a", [{"role": "user", "content": "x"}], 1, choices=("m", "M"))
    with Loopback(other=desk.handle) as server:
        assert set(ask(server, [request])[0].choice_logprobs or {}) == {"m", "M"}


def test_what_the_cache_holds_is_in_no_batch(tmp_path: Path) -> None:
    desk = BatchDesk()
    with Loopback(other=desk.handle) as server:
        ask(server, some(3), cache_dir=str(tmp_path / "kept"))
        assert len(ask(server, some(3), cache_dir=str(tmp_path / "kept"))) == 3
    assert len(desk.batches) == 1


def test_after_trouble_a_batch_is_looked_for_before_it_is_made_again() -> None:
    """The server makes the batch, and its answer gets lost."""
    desk = BatchDesk()

    def handle(seen: Seen) -> Wire | None:
        wire = desk.handle(seen)
        return CRASH if seen.method == "POST" and seen.path == "/v1/batches" else wire

    with Loopback(other=handle) as server:
        assert len(ask(server, some(2))) == 2
    assert len(desk.batches) == 1


@pytest.mark.parametrize("call", ["/v1/files", "/v1/batches/batch-0", "/v1/files/file-1/content"])
def test_a_call_that_is_never_answered_or_broken_off_is_made_again(call: str) -> None:
    """Once the server hangs, and once it closes the connection."""
    desk, trouble = BatchDesk(), [RESET, HANG]

    def handle(seen: Seen) -> Wire | None:
        return trouble.pop() if trouble and seen.path == call else desk.handle(seen)

    with Loopback(other=handle) as server:
        # long enough that a good answer never looks hung on a loaded machine
        assert len(ask(server, some(3), timeout=2.0)) == 3
    assert trouble == []
    assert len(desk.batches) == 1


@pytest.mark.parametrize("status", [307, 308])
def test_a_file_is_sent_whole_to_where_the_same_host_redirects(status: int) -> None:
    desk = BatchDesk()

    def moved(seen: Seen) -> Wire | None:
        here = seen.path.startswith("/v1/")
        return desk.handle(seen) if here else Wire(status, b"", {"location": f"/v1{seen.path}"})

    with Loopback(other=moved) as server:
        block = OpenaiEngine(base_url=server.base_url.removesuffix("/v1"), batch=True)
        engine = ApiGenerator(block, ModelRef("m"), clock=FakeClock())
        assert len(list(engine.generate(some(3)))) == 3
        engine.close()
    assert len(desk.lines(0)) == 3


def test_a_batch_is_found_by_its_mark_on_a_later_page() -> None:
    def handle(seen: Seen) -> Wire:
        second = "after=b99" in seen.path
        rows = [
            {"id": f"b{n}", "metadata": {"sso_factory": f"mark {n}"}} for n in range(100 * second, 100 + 100 * second)
        ]
        return Wire(body=json.dumps({"data": rows, "has_more": not second}).encode())

    with Loopback(other=handle) as server:
        block = OpenaiEngine(base_url=server.base_url)
        client = BatchClient(block, Endpoint(block, ModelRef("m")), FakeClock())
        assert client.find("mark 150") == "b150"
        assert client.find("mark 300") is None
        client.close()
