"""docs/troubleshooting.md quotes sentences and reasons as the program says them."""

import re
from pathlib import Path
from pkgutil import resolve_name

import pytest

from factory.schema import REASONS
from filters import FILTERS

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs/troubleshooting.md").read_text(encoding="utf-8")
FIRST = re.findall(r"^\| `([^`]+)` \|", PAGE, flags=re.MULTILINE)
SENTENCES = [quoted for quoted in FIRST if " " in quoted]
SOURCE = " ".join(
    path.read_text(encoding="utf-8") for room in ("factory", "filters") for path in sorted((ROOT / room).rglob("*.py"))
)


@pytest.mark.parametrize("quoted", SENTENCES)
def test_a_quoted_sentence_is_one_that_is_said(quoted: str) -> None:
    for piece in (piece.strip() for piece in quoted.split("…")):
        assert piece in SOURCE, piece


def test_a_quoted_reason_is_one_that_is_given() -> None:
    known = {name for place in FILTERS.values() for name in resolve_name(place).reasons}
    known |= {reason for table in REASONS.values() for reason in table}
    quoted = {name for name in FIRST if " " not in name}
    assert quoted <= known
    assert len(SENTENCES) >= 12
    assert len(quoted) >= 4
