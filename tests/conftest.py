"""What all tests share: no time limit of a property test, what spares them time, and nothing left in the checkout."""

import gc
from collections.abc import Callable, Iterator
from functools import wraps
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from factory.exports.card import plots
from factory.exports.report import audit

settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")

ROOT = Path(__file__).parent.parent
DRAWING = ((plots, "_draw"), (audit, "draw"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Those that take minutes first: the last of them had kept one process waiting for another."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


def pytest_collection_finish() -> None:
    """What collection made is no garbage: looking through it took half of the time of a small training."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def _equal_numbers_are_drawn_once() -> Iterator[None]:
    """Drawing is half of what a small run takes, and most tests' runs have the numbers of another one's."""
    with pytest.MonkeyPatch.context() as patch:
        for module, name in DRAWING:
            patch.setattr(module, name, _remembering(getattr(module, name)))
        yield


def _remembering(draw: Callable[..., object]) -> Callable[..., object]:
    pictures: dict[str, bytes] = {}

    @wraps(draw)
    def drawn(*given: Any) -> Path:
        (path,) = (one for one in given if isinstance(one, Path))
        numbers = repr([one for one in given if one is not path])
        if numbers in pictures:
            path.write_bytes(pictures[numbers])
        else:
            draw(*given)
            pictures[numbers] = path.read_bytes()
        return path

    return drawn


@pytest.fixture
def _pictures_are_drawn_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """For a test that says something about drawing."""
    for module, name in DRAWING:
        monkeypatch.setattr(module, name, getattr(module, name).__wrapped__)


@pytest.fixture(scope="session", autouse=True)
def _nothing_is_left_in_the_checkout() -> Iterator[None]:
    """A path that a test forgot to put under tmp_path lies here afterwards; tools' own caches begin with a dot."""
    before = set(ROOT.iterdir())
    yield
    left = {path.name for path in set(ROOT.iterdir()) - before if not path.name.startswith((".", "__pycache__"))}
    assert not left, f"a test left {sorted(left)} in {ROOT}"
