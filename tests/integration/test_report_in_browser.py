"""The report clicked through in headless Chromium: reader, filters, keyboard, themes, phone, nothing from data run."""

import re
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

from factory.commands.report import report
from tests.runs import NASTY, run_folder

pytestmark = [pytest.mark.integration, pytest.mark.slow]
sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install playwright")
ALL = 616
"""Pairs in the page: those kept, and 250 rejected ones."""


@pytest.fixture(scope="module")
def html(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of 750 pairs with replies of some thousand characters."""
    return report(run_folder(tmp_path_factory.mktemp("run") / "demo", prompts=250, long=8))


@pytest.fixture
def page(browser, html: Path) -> Iterator[object]:
    yield from opened(browser, html, width=1280)


def opened(browser, html: Path, width: int, scheme: str = "light", anchor: str = "") -> Iterator[object]:
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page = context.new_page()
    trouble: list[str] = []
    page.on("console", lambda message: trouble.append(message.text))
    page.on("pageerror", lambda error: trouble.append(str(error)))
    page.on("request", lambda asked: trouble.append(asked.url) if asked.url.split("#")[0] != html.as_uri() else None)
    page.goto(html.as_uri() + anchor)
    page.locator("#detail .side").first.wait_for()
    yield page
    assert trouble == [], "the page must neither complain nor ask for anything"
    context.close()


def count(page) -> int:
    sync_api.expect(page.locator("#count")).to_have_text(re.compile(r"^[0-9,]+ of"))
    return int(page.locator("#count").inner_text().split()[0].replace(",", ""))


def test_every_kept_pair_can_be_reached(page, html: Path) -> None:
    kept = pl.read_parquet(html.parent / "filtered/kept.parquet")["pair_id"]
    assert count(page) == ALL == len(kept) + 250
    page.select_option("#f-status", "kept")
    assert count(page) == len(kept)
    seen = set()
    while True:
        seen |= set(page.locator("#list li").evaluate_all("items => items.map((item) => item.id)"))
        if page.locator("#newer").is_disabled():
            break
        page.locator("#newer").click()
    assert len(seen) == len(kept)
    assert page.locator("#list li").count() <= 100


def test_filters_narrow_the_list(page) -> None:
    page.select_option("#f-status", "rejected")
    rejected = count(page)
    assert rejected == 250
    page.select_option("#f-reason", "judge_agrees: prefers_rejected")
    assert 0 < count(page) < rejected
    sync_api.expect(page.locator("#detail .tags")).to_contain_text("judge_agrees: prefers_rejected")
    page.select_option("#f-iteration", "2")
    page.select_option("#f-feature", "Safety")
    for text in page.locator("#list li").all_inner_texts():
        assert "Safety · iteration 2" in text
    page.get_by_role("button", name="Clear filters").click()
    assert count(page) == ALL
    page.select_option("#f-verdict", "right")
    sync_api.expect(page.locator("#detail .tags")).to_contain_text("right")


def test_search_finds_words_and_marks_them(page) -> None:
    page.keyboard.press("/")
    page.keyboard.type("onerror")
    sync_api.expect(page.locator("#count")).not_to_have_text(f"{ALL} of {ALL} pairs")
    assert 0 < count(page) < 30
    sync_api.expect(page.locator("#detail mark").first).to_have_text("onerror")
    page.keyboard.press("Escape")
    assert count(page) == ALL
    page.keyboard.press("/")
    page.keyboard.type("no such words anywhere")
    page.get_by_text("No pair fits").wait_for()
    assert count(page) == 0


def test_nothing_from_data_runs(page) -> None:
    page.locator("#search").fill("window.hacked")
    sync_api.expect(page.locator("#count")).not_to_have_text(f"{ALL} of {ALL} pairs")
    for _ in range(count(page)):
        page.keyboard.press("Escape")
        page.keyboard.press("j")
    assert page.evaluate("window.hacked") is None
    assert page.locator("#detail img, #detail script").count() == 0


def test_keys_walk_through_the_pairs(page) -> None:
    first = page.locator("#detail .meta").last.inner_text()
    page.keyboard.press("j")
    sync_api.expect(page.locator("#detail .meta").last).not_to_have_text(first)
    page.keyboard.press("k")
    sync_api.expect(page.locator("#detail .meta").last).to_have_text(first)
    page.locator("#list").focus()
    for _ in range(30):
        page.keyboard.press("ArrowDown")
    selected = page.locator('#list li[aria-selected="true"]')
    assert selected.count() == 1
    assert page.locator("#list").get_attribute("aria-activedescendant") == selected.get_attribute("id")
    box, item = page.locator("#list").bounding_box(), selected.bounding_box()
    assert box["y"] - 1 <= item["y"] <= box["y"] + box["height"]


def test_a_pair_shows_both_replies_beside_each_other_with_their_principles(page) -> None:
    sides = page.locator("#detail .side")
    left, right = sides.nth(0).bounding_box(), sides.nth(1).bounding_box()
    assert left["y"] == right["y"]
    assert left["x"] < right["x"]
    sides.nth(1).get_by_text("The principle it was asked to follow").click()
    assert "Do not mention features" in sides.nth(1).locator("pre").inner_text()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_themes_follow_the_system_and_the_button(scheme: str, browser, html: Path) -> None:
    for page in opened(browser, html, 1280, scheme):
        paper = "getComputedStyle(document.body).backgroundColor"
        before = page.evaluate(paper)
        page.locator("#theme").click()
        after = page.evaluate(paper)
        light, dark = "rgb(251, 250, 247)", "rgb(21, 24, 27)"
        assert (before, after) == ((light, dark) if scheme == "light" else (dark, light))


def test_a_phone_sees_it_without_scrolling_sideways(browser, html: Path) -> None:
    for page in opened(browser, html, 390):
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        left, right = (page.locator("#detail .side").nth(n).bounding_box() for n in (0, 1))
        assert right["y"] > left["y"] + left["height"] - 1
        page.get_by_role("button", name="Next").click()
        assert page.locator("#detail").bounding_box()["y"] < 200
        assert page.locator("#theme").is_visible()


HOSTILE = """# Steps

1. Install `polars`:
   ```python
   print("<b>")
   ```
2. **Read** [this](javascript:window.hacked=1) ![x](https://evil.example/x.png)

<a href="javascript:window.hacked=1">x</a> | <svg onload=window.hacked=1>
"""


@pytest.fixture(scope="module")
def marked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose replies are Markdown, and not all of it well meant."""
    root = run_folder(tmp_path_factory.mktemp("marked") / "demo", prompts=10)
    path = root / "filtered/kept.parquet"
    texts = {"chosen": HOSTILE + NASTY, "rejected": HOSTILE.replace("Install", "Remove") + NASTY}
    pl.read_parquet(path).with_columns(pl.lit(text).alias(name) for name, text in texts.items()).write_parquet(path)
    return report(root)


def test_markdown_is_shown_as_such_and_its_links_and_markup_are_text(browser, marked: Path) -> None:
    for page in opened(browser, marked, 1280):
        page.select_option("#f-status", "kept")
        chosen = page.locator("#detail .side.chosen .text")
        sync_api.expect(chosen.locator("pre.code code")).to_have_text('print("<b>")')
        assert chosen.locator("h4").inner_text() == "Steps"
        assert chosen.locator("ol > li").count() == 2
        assert chosen.locator("strong").inner_text() == "Read"
        assert "javascript:window.hacked=1" in chosen.inner_text()
        assert page.locator("#detail .text").locator("a, img, svg, script, b").count() == 0
        page.get_by_role("button", name="As written").click()
        sync_api.expect(page.locator("#detail .side.chosen .text.raw")).to_contain_text("```python")
        assert page.evaluate("window.hacked") is None


def test_the_difference_of_two_replies_is_marked_on_demand(browser, marked: Path) -> None:
    for page in opened(browser, marked, 1280):
        page.select_option("#f-status", "kept")
        assert page.locator("#detail .own").count() == 0
        page.get_by_role("button", name="Difference").click()
        sync_api.expect(page.locator("#detail .side.chosen .own")).to_have_text("Install")
        sync_api.expect(page.locator("#detail .side.rejected .own")).to_have_text("Remove")


def test_a_link_leads_to_its_pair(browser, html: Path) -> None:
    wanted = pl.read_parquet(html.parent / "filtered/kept.parquet")["pair_id"][-1]
    for page in opened(browser, html, 1280, anchor=f"#{wanted[:12]}"):
        sync_api.expect(page.locator("#detail .link")).to_have_text(wanted)
        assert page.locator('#list li[aria-selected="true"]').is_visible()
        page.keyboard.press("j")
        sync_api.expect(page.locator("#detail .link")).not_to_have_text(wanted)
        assert page.evaluate("location.hash") == f"#{page.locator('#detail .link').inner_text()}"
        page.evaluate("location.hash = '#0123456789abcdef'")
        sync_api.expect(page.locator("#detail")).to_contain_text("sso-factory trace RUN 0123456789abcdef")


def test_a_reply_s_length_is_counted_in_letters(browser, tmp_path: Path) -> None:
    root = run_folder(tmp_path / "demo", prompts=10)
    path = root / "filtered/kept.parquet"
    pl.read_parquet(path).with_columns(chosen=pl.lit("😀" * 1234)).write_parquet(path)
    for page in opened(browser, report(root), 1280):
        page.select_option("#f-status", "kept")
        sync_api.expect(page.locator("#detail .side.chosen .meta")).to_contain_text("1,234 characters")


@pytest.mark.parametrize("width", [390, 1280])
def test_no_name_or_reply_is_too_long_for_the_page(width: int, browser, tmp_path: Path) -> None:
    root, long = run_folder(tmp_path / "demo", prompts=10), "a" * 300
    for path in (root / "filtered").glob("*.parquet"):
        table = pl.read_parquet(path)
        names = [name for name in ("feature", "judge", "source") if name in table.columns]
        table.with_columns(pl.lit(long).alias(name) for name in names).write_parquet(path)
    for path in root.glob("iterations/*/scores.parquet"):
        pl.read_parquet(path).with_columns(feature=pl.lit(long)).write_parquet(path)
    (root / "audit/audit.json").unlink()
    for page in opened(browser, report(root), width):
        assert page.locator(".rows .label", has_text=long).count()
        assert page.evaluate("document.documentElement.scrollWidth") == width


def test_on_a_phone_nothing_lies_over_the_menu(browser, html: Path) -> None:
    for page in opened(browser, html, 390):
        links, button = page.locator("nav .links").bounding_box(), page.locator("#theme").bounding_box()
        assert links["x"] + links["width"] <= button["x"]
        wide = page.locator(".wide").evaluate_all("all => all.some((one) => one.scrollWidth > one.clientWidth)")
        assert wide, "a table wider than the phone scrolls by itself"
