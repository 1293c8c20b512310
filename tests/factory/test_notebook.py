"""What results show in a notebook: every number, nothing of the data as markup."""

from html.parser import HTMLParser
from pathlib import Path

import factory
from factory.notebook import html_table
from filters.funnel import Funnel, Step


class Cells(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.cells: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        if tag == "td":
            self.cells.append("")

    def handle_data(self, data: str) -> None:
        if self.cells:
            self.cells[-1] += data


def test_cells_are_text_numbers_are_written_as_people_do_and_what_is_missing_is_a_dash() -> None:
    found = Cells(html_table(["a<b>"], [["<script>alert(1)</script>", 12345, 0.123456, None, True]], "c&d"))
    assert found.tags == {"table", "caption", "thead", "tbody", "tr", "th", "td"}
    assert found.cells == ["<script>alert(1)</script>", "12,345", "0.1235", "–", "True"]


def test_results_show_what_they_hold(tmp_path: Path) -> None:
    funnel = Funnel(9, (Step("duplicate", 7, 2, {"duplicate": 2}, 0, {}),), 7)
    assert Cells(funnel._repr_html_()).cells == ["input", "9", "–", "", "duplicate", "7", "2", "duplicate 2"]
    (tmp_path / "prompts.txt").write_text("".join(f"What of {n}?\n" for n in range(8)))
    config = {"prompts": str(tmp_path / "prompts.txt"), "engine": "scripted", "run": {"iterations": 1}}
    plan = factory.plan(config, tmp_path / "run")
    assert [one for one in Cells(plan._repr_html_()).cells if one in ("features 1", "total")] == ["features 1", "total"]
    factory.run(config, tmp_path / "run", until="features")
    assert Cells(factory.status(tmp_path / "run")._repr_html_()).cells[:3] == ["prompts", "done", "8"]
