"""What all tests share: property tests are never failed for being slow, and nothing is left in the checkout."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="session", autouse=True)
def _nothing_is_left_in_the_checkout() -> Iterator[None]:
    """A path that a test forgot to put under tmp_path lies here afterwards; tools' own caches begin with a dot."""
    before = set(ROOT.iterdir())
    yield
    left = {path.name for path in set(ROOT.iterdir()) - before if not path.name.startswith((".", "__pycache__"))}
    assert not left, f"a test left {sorted(left)} in {ROOT}"
