"""The numbers under "Why trust it" are those of the page that each row is from, worked out of its tables anew."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
NUMBER = r"\d[\d,]*(?:\.\d+)?"
Rows = list[list[str]]


def section(page: str, heading: str) -> str:
    """What stands under a heading, as far as the next one."""
    text = (ROOT / page).read_text(encoding="utf-8")
    found = re.search(rf"^(#+) {re.escape(heading)}\n(.*?)(?=^#|\Z)", text, re.MULTILINE | re.DOTALL)
    assert found, f"{page} has no heading {heading}"
    return found[2]


def tables(text: str) -> list[Rows]:
    """The cells of each table's rows, its head and rule left out."""
    blocks = re.findall(r"(?:^\|.*\|\n)+", text, re.MULTILINE)
    return [
        [[cell.strip() for cell in row.strip("|").split("|")] for row in block.splitlines()[2:]] for block in blocks
    ]


def row(rows: Rows, name: str) -> list[str]:
    """The cells of the row that begins with a name."""
    return next(cells for cells in rows if cells[0] == name)


def value(text: str) -> float:
    """The first number of a cell."""
    found = re.search(NUMBER, text)
    assert found, text
    return float(found[0].replace(",", ""))


def coverage() -> list[str]:
    text = section("docs/audit.md", "How often it is true")
    (rows, *_) = tables(text)
    held = [value(cells[6]) for cells in rows]
    assert all(value(cells[7]) == 0 or cells[7].startswith("-") for cells in rows), "an interval is wider than labels'"
    draws, level = re.search(r"Intervals at (\d+) %, ([\d,]+) draws a cell", text).group(2, 1)  # type: ignore[union-attr]
    return [f"{min(held)}", f"{max(held)}", draws, f"{len(rows)}", level, *filtered_coverage()]


def filtered_coverage() -> list[str]:
    page = (ROOT / "docs" / "filter_rules.md").read_text(encoding="utf-8")
    held = [value(cells[6]) for rows in tables(page) for cells in rows]
    (draws,) = re.findall(r"means over (\d+)\s+such sets", page)
    return [f"{min(held):.0f}", f"{max(held):.0f}", draws]


def frugal() -> list[str]:
    shares = [value(cells[5]) for cells in tables(section("docs/benchmarks.md", "Frugal judging"))[0]]
    return [f"{min(shares)}", f"{max(shares)}"]


def filtering() -> list[str]:
    everything = section("docs/benchmarks.md", "With everything on")
    whole, plain = tables(everything)[0], tables(section("docs/benchmarks.md", "Filters"))[0]
    times = value(row(plain, "datasets, batched on every core")[1]) / value(row(plain, "sso-factory")[1])
    pairs = row(plain, "sso-factory")[5].split(" → ")[0]
    files = re.search(r"decontamination against (\d+) benchmark files", everything)
    assert files
    assert "1,000,000 pairs" in whole[0][0]
    return [f"{times:.1f}", pairs, files[1], f"{value(whole[0][1]):.0f}", f"{value(whole[0][3]):.1f}"]


def rate() -> list[str]:
    (rows,) = tables(section("docs/benchmarks.md", "The vllm engine"))
    names = ("the line, features then replies", "vLLM alone, features and replies in one call")
    ours, alone = (row(rows, name) for name in names)
    share = (value(ours[2]) / value(ours[3])) / (value(alone[2]) / value(alone[3]))
    return [f"{share:.3f}"]


def training() -> list[str]:
    text = section("docs/benchmarks.md", "Training")
    ours = ("(c)", "(c) steering_share: 0.25")
    whole, drawn = (row(tables(text)[1], f"{one} / (a) computing whole layers again") for one in ours)
    assert value(whole[3]) <= 1
    return [f"{value(whole[1]):.1f}", f"{value(drawn[1]):.1f}", "0.25"]


CLAIMS: dict[str, Callable[[], list[str]]] = {
    "killed anywhere, a run ends in the same bytes": list,
    "the interval of `factory.estimate` holds what it says": coverage,
    "judging less decides the same": frugal,
    "filtering is fast": filtering,
    "a run costs next to no speed": rate,
    "training costs": training,
}
(SAID,) = tables(section("README.md", "Why trust it"))


@pytest.mark.parametrize("claim", CLAIMS)
def test_a_claim_has_the_numbers_of_its_page_and_no_other(claim: str) -> None:
    assert re.findall(NUMBER, row(SAID, claim)[1]) == CLAIMS[claim]()


def test_every_claim_is_tied_to_a_page() -> None:
    assert [cells[0] for cells in SAID] == list(CLAIMS)
