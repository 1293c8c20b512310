"""Accounts of money, kept on disk at every change: what was spent is known however a process ended."""

import json
import os
from collections.abc import Callable
from contextlib import suppress
from functools import cached_property
from pathlib import Path

from factory.engines.base import bounded_money
from factory.errors import StoreError

FILE = ".spending.jsonl"
RUN = "run"
"""The account that every other one of a folder adds to."""
ENGINE = "engine"
"""That of the run's own engine."""
WEAK = "weak"
"""That of a weaker model on an engine of its own."""
_BOUNDS = {ENGINE: "engine.max_cost", WEAK: "pairs.weak_engine.max_cost"}
_WIDTH, _NAME = 1024, 64
"""Bytes of an account's line, so that it can be written over in place, and most letters of its name."""


class Account:
    """Money that may be spent, is spent, and is set aside for requests under way."""

    def __init__(self, key: str, most: float | None = None, kept: Callable[["Account"], None] | None = None) -> None:
        self.key, self.most = key, most
        self.spent = self.in_flight = 0.0
        self.lost, self._kept = 0.0, kept
        """Of what is spent, that of requests given up, which may be found again."""

    def affords(self, money: float) -> bool:
        """Whether `money` more stays within the bound, whatever becomes of what is set aside."""
        # A sum of many floats may lie a last bit above a bound that it meets.
        return self.most is None or self.spent + self.in_flight + money <= self.most * (1 + 1e-9)

    def reserve(self, money: float) -> None:
        """Set money aside, before it can be spent."""
        self._move(0.0, money)

    def settle(self, reserved: float, spent: float) -> None:
        """What was set aside came to `spent`."""
        self._move(spent, -reserved)

    def abandon(self) -> None:
        """Nobody will say what the requests under way came to: all that was set aside counts as spent."""
        self.lost += self.in_flight
        self._move(self.in_flight, -self.in_flight)

    def recover(self, money: float) -> None:
        """Requests given up by `abandon`, or by a process that ended, are found again: set aside once more."""
        # No more than was counted as spent for it comes off again; what was never counted cannot.
        known = min(money, self.lost)
        self.lost -= known
        self._move(-known, money)

    def _move(self, spent: float, in_flight: float) -> None:
        # Rounded far below a token's price: what was set aside and has come back leaves a last bit, which was told.
        self.spent, self.in_flight = max(0.0, self.spent + spent), max(0.0, round(self.in_flight + in_flight, 12))
        if self._kept and (spent or in_flight):
            self._kept(self)


class Spending:
    """The accounts of a folder, in a file of a line each. For one process at a time, as the folder's lock has it.

    What a process that ended had set aside counts as spent. A folder without the file has spent what its journals say.
    """

    def __init__(self, root: Path, most: float | None = None) -> None:
        self._path, self._most = root / FILE, most
        self._file: int | None = None
        self._accounts: dict[str, Account] = {}
        self._root = root

    @cached_property
    def _before(self) -> dict[str, tuple[float, float, float]]:
        return _written(self._path) or _journaled(self._root)

    @cached_property
    def _places(self) -> dict[str, int]:
        return {name: number for number, name in enumerate(self._before)}

    def accounts(self, name: str, most: float | None) -> tuple[Account, ...]:
        """What an engine is charged to: the folder's account, and its own, called `name`."""
        key = _BOUNDS.get(name, f"max_cost of {name}")
        return self._account(RUN, "run.max_cost", self._most), self._account(name[:_NAME], key, most)

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _account(self, name: str, key: str, most: float | None) -> Account:
        found = self._accounts.get(name)
        if found is None:
            found = self._accounts[name] = Account(key, most, lambda account: self._keep(name, account))
            found.spent, found.in_flight, found.lost = self._before.get(name, (0.0, 0.0, 0.0))
            # Read from the file, it was in flight in a process that is gone.
            found.abandon()
        return found

    def _keep(self, name: str, account: Account) -> None:
        """Write the account's line; the operating system has it when this returns, so that a kill cannot lose it."""
        place = self._places.setdefault(name, len(self._places))
        money = {"spent": account.spent, "in_flight": account.in_flight, "lost": account.lost}
        line = json.dumps({"account": name, **money}).encode().ljust(_WIDTH - 1) + b"\n"
        try:
            if self._file is None:
                self._file = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o666)
            # One write of one width at one place: it is there or not, and no line is ever moved by another.
            os.pwrite(self._file, line, place * _WIDTH)
        except OSError as error:
            why = f"{self._path} cannot be written ({error.strerror}), and money is counted there"
            raise StoreError(f"{why}; make room for it") from error


def spent_in(root: Path) -> float:
    """Money that the accounts of a folder say was spent, what is under way included; 0 where there are none."""
    return sum(_written(root / FILE).get(RUN, (0.0, 0.0))[:2])


def _written(path: Path) -> dict[str, tuple[float, float, float]]:
    """Account to money spent, set aside, and lost of what is spent, in the file's order; empty where there is none."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return {}
    found = {}
    for number, line in enumerate(lines):
        try:
            record = json.loads(line)
            found[str(record["account"])] = (
                float(record["spent"]),
                float(record["in_flight"]),
                float(record.get("lost", 0.0)),
            )
        except (ValueError, KeyError, TypeError, RecursionError, OverflowError) as error:
            raise StoreError(
                f"{path} line {number + 1} is garbled, and says what was spent; correct it, or remove the file "
                "to count the journals alone"
            ) from error
    return found


def _journaled(root: Path) -> dict[str, tuple[float, float, float]]:
    """The same from the answers that the folder's journals hold."""
    spent: dict[str, float] = {RUN: 0.0}
    for path in sorted(root.rglob("*.journal.jsonl")):
        with path.open("rb") as file:
            for line in file:
                with suppress(ValueError, KeyError, TypeError, RecursionError):
                    value = json.loads(line)["value"]
                    name, money = _account_of(str(value["id"])), bounded_money(value["cost"]) or 0.0
                    spent[RUN] += money
                    spent[name] = spent.get(name, 0.0) + money
    return {name: (money, 0.0, 0.0) for name, money in spent.items()}


def _account_of(request: str) -> str:
    judged = request.removeprefix("judge/")
    return ENGINE if judged == request else f"judge {judged.rsplit('/', 3)[0]}"[:_NAME]
