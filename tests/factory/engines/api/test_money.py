"""Money: one bound over policy, judges and audit, live and in batches, over resumes and kills.

The server is the referee: it counts what it answered.
"""

import errno
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import pytest

import factory
from factory.config import Config
from factory.config.apis import OpenaiEngine, Prices
from factory.engines.api.accounts import FILE, Account, Spending, spent_in
from factory.engines.api.engine import ApiGenerator
from factory.engines.api.spending import priced
from factory.engines.base import Request
from factory.errors import ConfigError, EngineError, StoreError
from factory.models.ref import ModelRef
from tests import loopback
from tests.loopback import Loopback, Seen, Spoken, completion
from tests.loopback_batch import BatchDesk

WORD = Prices(prompt=1e6, completion=1e6)
"""A word costs 1, in the server's way of counting."""
ROOM = 12
"""Words a reply may have, at most."""


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-marked-0123456789")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def speak(seen: Seen) -> Spoken:
    """Judges where a judge is asked; otherwise replies of different lengths, in other words each time."""
    if seen.body["model"] != "writer":
        return Spoken("m", {"m": 0.9, "M": 0.1})
    if "temperature" in seen.body and "features" in seen.last.casefold():
        return Spoken("Accuracy, Safety")
    return Spoken(" ".join(f"w{seen.number}x{n}" for n in range(1 + seen.number % ROOM)))


def bill(bodies: list[Any], answer: Callable[[Seen], Spoken] = speak) -> int:
    """What the server charged for these requests."""
    seen = [Seen(number, 0, "POST", "", {}, body) for number, body in enumerate(bodies)]
    return sum(completion(one, answer(one))["usage"]["total_tokens"] for one in seen)


def config(folder: Path, server: Loopback, **blocks: Any) -> Config:
    path = folder / "prompts.jsonl"
    path.write_text("".join(json.dumps({"prompt": f"What of the number {n}?"}) + "\n" for n in range(10)))

    def engine(model: str) -> dict[str, Any]:
        more = blocks.get("engine") or {}
        return {"kind": "openai", "base_url": server.base_url, "model": model, "prices": WORD.model_dump()} | more

    return Config.model_validate(
        {
            "run": {"iterations": 1, "dir": str(folder / "run"), **blocks.get("run", {})},
            "prompts": {"paths": [str(path)]},
            "policy": {"model": "writer"},
            "sampling": {"max_new_tokens": ROOM},
            "training": {"method": "none"},
            "filters": [{"use": "judge_agrees"}],
            "export": {"formats": []},
            "engine": engine("writer"),
            "judges": [{"name": "J", "frugal": False, "engine": engine("J")}],
            "audit": {"judge": {"name": "A", "engine": engine("A")}},
        }
    )


def charged(server: Loopback) -> int:
    return bill([seen.body for seen in server.asked])


def whole(folder: Path) -> int:
    """What the run costs where nothing bounds it."""
    with Loopback(speak) as server:
        factory.run(config(folder, server))
        return charged(server)


def test_one_bound_holds_over_all_engines_and_resumes(tmp_path: Path) -> None:
    """Raised step by step, each stops in another engine's work, and the server never answered for more."""
    (tmp_path / "free").mkdir()
    total = whole(tmp_path / "free")
    stopped = set()
    with Loopback(speak, latency=0.01) as server:
        for percent in (20, 20, 75, 97):
            bound = total * percent / 100
            with pytest.raises(EngineError, match=r"run\.max_cost is reached: .* raise run\.max_cost to go on"):
                factory.run(config(tmp_path, server, run={"max_cost": bound}))
            assert charged(server) <= bound
            stopped.add(server.asked[-1].body["model"])
            assert spent_in(tmp_path / "run") == pytest.approx(charged(server))
        factory.run(config(tmp_path, server, run={"max_cost": total * 2}))
        assert charged(server) == pytest.approx(total, rel=0.2)
    assert stopped == {"writer", "J", "A"}


def test_one_bound_holds_over_batches(tmp_path: Path) -> None:
    """Files are as large as the money is; what one left over pays for the next."""
    desk = BatchDesk(speak)
    with Loopback(other=desk.handle) as server:

        def spent() -> int:
            return bill([line["body"] for number in range(len(desk.batches)) for line in desk.lines(number)])

        for bound in (1500, 4000):
            block = {"batch": True, "batch_poll_seconds": 0.01}
            with pytest.raises(EngineError, match=r"run\.max_cost is reached"):
                factory.run(config(tmp_path, server, run={"max_cost": bound}, engine=block), check=False)
            assert 0 < spent() <= bound
        assert len(desk.batches) > 3


def test_an_engines_own_bound_outlives_the_engine(tmp_path: Path) -> None:
    """Opened again for another stage, or by the same command, it goes on from what it had spent."""
    with Loopback(speak) as server:
        for _ in range(2):
            with pytest.raises(EngineError, match=r"^engine\.max_cost is reached: .* raise engine\.max_cost"):
                factory.run(config(tmp_path, server, engine={"max_cost": 2000.0}))
            by_model = {name: [s.body for s in server.asked if s.body["model"] == name] for name in ("writer", "J")}
            assert all(bill(bodies) <= 2000 for bodies in by_model.values())


def test_nothing_is_sent_that_could_go_over(tmp_path: Path) -> None:
    with Loopback(speak) as server:
        with pytest.raises(EngineError, match=r"run\.max_cost is reached: 0 of 5 is spent"):
            factory.run(config(tmp_path, server, run={"max_cost": 5}))
        assert server.asked == []


def test_what_was_under_way_at_a_kill_is_spent(tmp_path: Path) -> None:
    """kill -9 amid requests: the server answers them all the same, to nobody."""
    with Loopback(speak, latency=0.3) as server:
        settings = config(tmp_path, server, run={"max_cost": 8000})
        (tmp_path / "sso.yaml").write_text(settings.model_dump_json())
        command = [sys.executable, "-m", "factory.cli", "run", str(tmp_path / "sso.yaml")]
        child = subprocess.Popen(command, env=os.environ, stderr=subprocess.PIPE)
        while len(server.asked) < 6 and child.poll() is None:
            time.sleep(0.01)
        child.send_signal(signal.SIGKILL)
        child.communicate()
        assert len(server.asked) >= 6
        with pytest.raises(EngineError, match=r"run\.max_cost is reached"):
            factory.run(settings)
        assert charged(server) <= 8000
        assert spent_in(tmp_path / "run") >= charged(server)


@pytest.mark.parametrize("amiss", [(loopback.HALF, loopback.EMPTY), (loopback.error(504, "upstream timed out"),)])
def test_answers_that_came_amiss_are_paid_for(amiss: tuple[loopback.Wire, ...], tmp_path: Path) -> None:
    """Half an answer, none at all, and one that a gateway did not wait for, were worked for."""
    with Loopback(speak, loopback.every(2, *amiss)) as server:
        with pytest.raises(EngineError, match=r"run\.max_cost is reached"):
            factory.run(config(tmp_path, server, run={"max_cost": 6000}))
        assert charged(server) <= spent_in(tmp_path / "run") <= 6000


@pytest.mark.parametrize("wire", [loopback.error(401, "no such key"), loopback.no_quota(), loopback.error(404, "")])
def test_what_a_server_refused_for_good_is_not_spent(wire: loopback.Wire, tmp_path: Path) -> None:
    """It answers ten requests, and then none any more."""
    with Loopback(speak, lambda seen: wire if seen.number >= 10 else None) as server:
        with pytest.raises(EngineError, match=r"key|credit|model"):
            factory.run(config(tmp_path, server), check=False)
        assert spent_in(tmp_path / "run") == bill([seen.body for seen in server.asked[:10]])


@pytest.mark.parametrize("sent", [9, 90])
def test_what_one_answer_tells_holds_for_those_that_tell_nothing(sent: int) -> None:
    """Prompts taken for 9 tokens have `sent`, replies of 16 at most have 160, and one answer in three says so.

    The bound is for 40 of them, one after the other.
    """

    def write(seen: Seen) -> loopback.Wire:
        body = completion(seen, Spoken("yes"))
        usage = {"prompt_tokens": sent, "completion_tokens": 160}
        return loopback.Wire(body=json.dumps({**body, "usage": usage if seen.number % 3 == 0 else None}).encode())

    with Loopback(other=write) as server:
        block = OpenaiEngine(base_url=server.base_url, prices=WORD, max_cost=40.0 * (sent + 160), max_concurrency=1)
        engine = ApiGenerator(block, ModelRef("m"))
        asked = [Request(f"{n}", [{"role": "user", "content": f"number {n:04}"}], 16) for n in range(60)]
        with pytest.raises(EngineError, match="max_cost is reached"):
            list(engine.generate(asked))
        engine.close()
        assert len(server.log) == 40


def test_an_account_by_hand() -> None:
    """10 in all: 4 set aside, 3 spent of it; 6 set aside and given up, found again, and 2 spent of it: 5 in all."""
    account = Account("max_cost", 10.0)
    account.reserve(4.0)
    account.settle(4.0, 3.0)
    assert (account.spent, account.affords(7.0), account.affords(7.1)) == (3.0, True, False)
    account.reserve(6.0)
    account.abandon()
    assert (account.spent, account.in_flight, account.affords(1.1)) == (9.0, 0.0, False)
    account.recover(6.0)
    account.settle(6.0, 2.0)
    assert (account.spent, account.in_flight) == (5.0, 0.0)
    account.recover(1.0)  # of a batch that another folder had paid for
    assert (account.spent, account.in_flight) == (5.0, 1.0)


def test_accounts_are_kept_as_they_change(tmp_path: Path) -> None:
    first = Spending(tmp_path)
    run, judge = first.accounts("judge Ö" + "\u2028" * 99, 5.0)
    run.reserve(2.0)
    judge.reserve(2.0)
    judge.settle(2.0, 1.5)
    second = Spending(tmp_path)  # as after a kill: nothing was closed
    run, judge = second.accounts("judge Ö" + "\u2028" * 99, 5.0)
    assert (run.spent, judge.spent, judge.most) == (2.0, 1.5, 5.0)
    assert spent_in(tmp_path) == 2.0
    first.close()
    second.close()


def test_a_folder_without_accounts_has_spent_what_its_journals_say(tmp_path: Path) -> None:
    lines = [("reply/p/good/0", 2.0), ("judge/a/b/pair/chosen_first/0", 0.5), ("features/p", None)]
    text = "".join(json.dumps({"key": "00", "value": {"id": name, "cost": cost}}) + "\n" for name, cost in lines)
    (tmp_path / "filtered").mkdir()
    (tmp_path / "filtered/filter.journal.jsonl").write_text(text + "torn {")
    run, engine = Spending(tmp_path).accounts("engine", None)
    judge = Spending(tmp_path).accounts("judge a/b", None)[1]
    assert (run.spent, engine.spent, judge.spent) == (2.5, 2.0, 0.5)
    assert not (tmp_path / FILE).exists()


def test_garbled_accounts_are_one_sentence(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text('{"account": "run"}\n')
    with pytest.raises(StoreError, match="line 1 is garbled"):
        Spending(tmp_path).accounts("engine", None)


@pytest.mark.parametrize("well", [0, 7])
def test_accounts_that_cannot_be_written_are_one_sentence(
    well: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the first line on or amid the requests, as on a disk that copies what it overwrites and is full."""
    write, lines = os.pwrite, count()

    def full(*line: Any) -> int:
        if next(lines) == well:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(*line)

    monkeypatch.setattr(os, "pwrite", full)
    with Loopback(speak) as server, pytest.raises(StoreError, match=r"spending\.jsonl cannot be written \(No space"):
        factory.run(config(tmp_path, server), check=False)


@pytest.mark.parametrize(
    ("blocks", "said"),
    [
        (
            {"run": {"max_cost": 5}, "engine": {"prices": None}},
            r"run\.max_cost needs .* writer .* engine\.prices",
        ),
        ({"engine": {"prices": None, "max_cost": 5}}, r"engine\.max_cost needs prices"),
        ({"engine": {"prices": {"prompt": 0}, "max_cost": 5}}, r"engine\.max_cost needs prices"),
        ({"run": {"max_cost": 5}, "engine": {"prices": {"prompt": 0}}}, r"no engine of this run costs money"),
        ({"run": {"max_cost": 5}, "engine": "ray"}, r"not kept over Ray's workers"),
    ],
)
def test_a_bound_without_prices_is_refused(tmp_path: Path, blocks: dict[str, Any], said: str) -> None:
    with Loopback(speak) as server:
        ray = blocks.get("engine") == "ray"
        settings = config(tmp_path, server, **({"run": blocks["run"]} if ray else blocks))
        if ray:
            inner = {"kind": "ray", "engine": settings.engine.model_dump()}
            settings = Config.model_validate({**settings.model_dump(), "engine": inner})
        with pytest.raises(ConfigError, match=said):
            factory.run(settings)
        assert server.log == []


@pytest.mark.parametrize("bound", [{"run": {"max_cost": 1}}, {"prompts": {"budget": {"cost": 1}}}])
def test_a_bound_on_engines_that_cost_nothing_is_refused(tmp_path: Path, bound: dict[str, Any]) -> None:
    (tmp_path / "p.txt").write_text("What?\n")
    prompts = {"paths": [str(tmp_path / "p.txt")], "target_pairs": 1, **bound.get("prompts", {})}
    with pytest.raises(ConfigError, match="needs prices"):
        factory.plan({**bound, "prompts": prompts, "engine": "scripted"})


def test_known_models_have_prices_and_the_users_own_win() -> None:
    known = priced(OpenaiEngine(), "gpt-4o-mini").prices
    assert known is not None
    assert known.money
    batch = priced(OpenaiEngine(batch=True), "gpt-4o-mini").prices
    assert batch == Prices(prompt=known.prompt / 2, completion=known.completion / 2)
    assert priced(OpenaiEngine(prices=Prices(prompt=7.0)), "gpt-4o-mini").prices == Prices(prompt=7.0)
    assert priced(OpenaiEngine(model="gpt-4o-mini"), "what it is called here").prices == known
    assert priced(OpenaiEngine(base_url="http://127.0.0.1:1/v1"), "gpt-4o-mini").prices is None
    assert priced(OpenaiEngine(), "no-such-model").prices is None


def test_the_api_preset_shows_money(tmp_path: Path) -> None:
    factory.init(tmp_path, "api")
    assert all(stage.cost for stage in factory.plan(tmp_path / "sso.yaml").stages)


def test_nothing_is_under_way_once_all_that_was_set_aside_has_come_back() -> None:
    account = Account("run")
    for money in (0.1, 0.2, 0.3):
        account.reserve(money)
    for money in (0.3, 0.2, 0.1):
        account.settle(money, money)
    assert account.in_flight == 0
