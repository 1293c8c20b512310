"""The report clicked through in headless Chromium: reader, filters, keyboard, themes, phone, nothing from data run."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from factory.commands.report import report
from tests.runs import run_folder

CHROMIUM = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
)
pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed: apt-get install chromium"),
]
sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install playwright")
QUIET = ("background-networking", "component-update", "sync", "gpu", "default-apps", "domain-reliability")
ARGUMENTS = ["--no-sandbox", "--no-first-run", *(f"--disable-{name}" for name in QUIET)]


@pytest.fixture(scope="module")
def html(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of 750 pairs with replies of some thousand characters."""
    return report(run_folder(tmp_path_factory.mktemp("run") / "demo", prompts=250, long=8))


@pytest.fixture(scope="module")
def browser() -> Iterator[object]:
    with sync_api.sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield running
        running.close()


@pytest.fixture
def page(browser, html: Path) -> Iterator[object]:
    yield from opened(browser, html, width=1280)


def opened(browser, html: Path, width: int, scheme: str = "light") -> Iterator[object]:
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page = context.new_page()
    trouble: list[str] = []
    page.on("console", lambda message: trouble.append(message.text))
    page.on("pageerror", lambda error: trouble.append(str(error)))
    page.on("request", lambda request: trouble.append(request.url) if request.url != html.as_uri() else None)
    page.goto(html.as_uri())
    yield page
    assert trouble == [], "the page must neither complain nor ask for anything"
    context.close()


def count(page) -> int:
    return int(page.locator("#count").inner_text().split()[0])


def test_it_opens_with_500_long_pairs(browser, html: Path) -> None:
    page = browser.new_page()
    page.goto(html.as_uri())
    page.locator("#detail .side").first.wait_for()
    assert count(page) == 500
    assert html.stat().st_size > 3_000_000
    page.close()


def test_filters_narrow_the_list(page) -> None:
    page.select_option("#f-status", "rejected")
    rejected = count(page)
    assert 0 < rejected < 500
    page.select_option("#f-reason", "judge_agrees: prefers_rejected")
    assert 0 < count(page) < rejected
    assert "judge_agrees: prefers_rejected" in page.locator("#detail .tags").inner_text()
    page.select_option("#f-iteration", "2")
    page.select_option("#f-feature", "Safety")
    for text in page.locator("#list li").all_inner_texts():
        assert "Safety · iteration 2" in text
    page.get_by_role("button", name="Clear filters").click()
    assert count(page) == 500
    page.select_option("#f-verdict", "right")
    assert "right" in page.locator("#detail .tags").inner_text()


def test_search_finds_words_and_marks_them(page) -> None:
    page.keyboard.press("/")
    page.keyboard.type("onerror")
    sync_api.expect(page.locator("#count")).not_to_have_text("500 of 500 pairs")
    assert 0 < count(page) < 30
    assert page.locator("#detail mark").first.inner_text() == "onerror"
    page.keyboard.press("Escape")
    assert count(page) == 500
    page.keyboard.press("/")
    page.keyboard.type("no such words anywhere")
    page.get_by_text("No pair fits").wait_for()
    assert count(page) == 0


def test_nothing_from_data_runs(page) -> None:
    page.locator("#search").fill("window.hacked")
    sync_api.expect(page.locator("#count")).not_to_have_text("500 of 500 pairs")
    for _ in range(count(page)):
        page.keyboard.press("Escape")
        page.keyboard.press("j")
    assert page.evaluate("window.hacked") is None
    assert page.locator("#detail img, #detail script").count() == 0


def test_keys_walk_through_the_pairs(page) -> None:
    first = page.locator("#detail .meta").last.inner_text()
    page.keyboard.press("j")
    second = page.locator("#detail .meta").last.inner_text()
    assert second != first
    page.keyboard.press("k")
    assert page.locator("#detail .meta").last.inner_text() == first
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
