"""A review of 20 pairs by keyboard in headless Chromium: blind, undone, themed, on a phone, nothing from data run."""

import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import polars as pl
import pytest

import factory
from factory.progress import Silent
from tests.runs import NASTY

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install playwright")

pytestmark = [pytest.mark.integration, pytest.mark.slow]

CODE = "Use **this**:\n\n```python\nif a < b:\n    print('<b>x</b>')\n```\n\n- one\n- two"
PAIRS = [
    {
        "prompt": f"Question {n}? {NASTY if n % 3 == 0 else ''}",
        "chosen": f"{CODE} chosen {n}",
        "rejected": f"A short reply, rejected {n}. {NASTY}",
        "feature": "Safety",
    }
    for n in range(20)
]


class Spoken(Silent):
    """Says where the page is."""

    def __init__(self) -> None:
        self.there, self.address = threading.Event(), ""

    def say(self, text: str) -> None:
        if found := re.search(r"http://\S+", text):
            self.address = found[0]
            self.there.set()


class Review(NamedTuple):
    address: str
    labels: Path
    thread: threading.Thread


@pytest.fixture
def review(tmp_path: Path) -> Iterator[Review]:
    labels, said = tmp_path / "labels.parquet", Spoken()
    options = {"name": "ana", "progress": said}
    thread = threading.Thread(target=factory.review, args=(pl.DataFrame(PAIRS), labels), kwargs=options)
    thread.start()
    assert said.there.wait(60)
    yield Review(said.address, labels, thread)
    thread.join(60)
    assert not thread.is_alive()


def opened(browser, address: str, width: int = 1280, scheme: str = "light"):
    page = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme).new_page()
    page.trouble = []
    page.on("console", lambda message: page.trouble.append(message.text))
    page.on("pageerror", lambda error: page.trouble.append(str(error)))
    page.on(
        "request", lambda request: page.trouble.append(request.url) if not request.url.startswith(address) else None
    )
    page.goto(address)
    page.locator("#left > *").first.wait_for()
    return page


def press(page, key: str, count: str) -> None:
    page.keyboard.press(key)
    sync_api.expect(page.locator("#count")).to_have_text(count)


def test_twenty_pairs_are_labelled_by_keyboard(browser, review: Review) -> None:
    page = opened(browser, review.address)
    html = page.content()
    assert "Safety" not in html, "the feature is told after the answer"
    assert page.locator("#last").is_hidden()
    left, right = (page.locator(f"#{side}").bounding_box() for side in ("left", "right"))
    assert left["y"] == right["y"]
    assert page.locator(".reply pre code").count() == 1
    assert "print('<b>x</b>')" in page.locator(".reply pre code").inner_text()
    assert page.locator(".reply li").count() == 2
    press(page, "1", "1 of 20")
    assert "left is better" in page.locator("#last").inner_text()
    assert "feature Safety" in page.locator("#last").inner_text()
    press(page, "2", "2 of 20")
    press(page, "t", "3 of 20")
    press(page, "s", "4 of 20")
    press(page, "u", "3 of 20")
    page.keyboard.press("d")
    page.locator("#left mark").first.wait_for()
    page.keyboard.press("d")
    page.locator(".reply li").first.wait_for()
    page.keyboard.press("p")
    sync_api.expect(page.locator("#right")).to_have_class("reply plain")
    page.reload()
    sync_api.expect(page.locator("#count")).to_have_text("3 of 20")
    for done in range(3, 20):
        texts = [page.locator(f"#{side}").inner_text() for side in ("left", "right")]
        press(page, "1" if "chosen" in texts[0] else "2", f"{done + 1} of 20")
    assert page.locator("#pair").is_hidden()
    assert page.evaluate("window.hacked") is None
    page.get_by_role("button", name="Finish").click()
    page.get_by_text("You may close this page.").wait_for()
    assert page.trouble == [], "the page must neither complain nor ask for anything elsewhere"
    review.thread.join(60)
    labels = pl.read_parquet(review.labels)
    assert labels.height == 20
    assert labels["label"][3:].to_list() == ["chosen"] * 17
    assert labels["label"][2] == "tie"
    assert set(labels["label"][:2]) <= {"chosen", "rejected"}


def test_themes_phone_and_a_server_that_is_gone(browser, review: Review) -> None:
    for scheme, paper in (("light", "rgb(251, 250, 247)"), ("dark", "rgb(21, 24, 27)")):
        page = opened(browser, review.address, scheme=scheme)
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == paper
        page.context.close()
    page = opened(browser, review.address, width=390)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    left, right = (page.locator(f"#{side}").bounding_box() for side in ("left", "right"))
    assert right["y"] > left["y"] + left["height"] - 1
    page.get_by_role("button", name="Tie").click()
    sync_api.expect(page.locator("#count")).to_have_text("1 of 20")
    page.evaluate("fetch('finish', {method: 'POST', headers: {'Content-Type': 'application/json'}, body: '{}'})")
    review.thread.join(60)
    page.get_by_role("button", name="Tie").click()
    page.get_by_text("That was not kept").wait_for()
    assert pl.read_parquet(review.labels).height == 1
