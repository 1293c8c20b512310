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

FINISH = "fetch('finish', {method: 'POST', headers: {'Content-Type': 'application/json'}, body: '{}'})"
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
    page.clock.install()
    page.goto(address)
    page.locator("#left > *").first.wait_for()
    page.clock.fast_forward(1000)
    return page


def press(page, key: str, count: str) -> None:
    page.clock.fast_forward(1000)
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


def test_a_key_pressed_twice_answers_one_pair(browser, review: Review) -> None:
    page = opened(browser, review.address)
    page.clock.pause_at(page.evaluate("Date.now() + 1000"))
    page.keyboard.press("1")
    sync_api.expect(page.locator("#count")).to_have_text("1 of 20")
    page.clock.run_for(100)
    page.keyboard.press("1")
    page.get_by_role("button", name="Left").click()
    press(page, "t", "2 of 20")
    page.evaluate(FINISH)
    review.thread.join(60)
    assert pl.read_parquet(review.labels)["label"][1] == "tie"


def test_a_window_that_was_left_behind_says_so_and_changes_nothing(browser, review: Review) -> None:
    page, other = (opened(browser, review.address) for _ in range(2))
    press(page, "t", "1 of 20")
    press(page, "s", "2 of 20")
    press(other, "1", "2 of 20")
    other.get_by_text("That was not kept").wait_for()
    press(other, "u", "1 of 20")
    assert other.get_by_text("That was not kept").is_hidden()
    other.evaluate(FINISH)
    review.thread.join(60)
    assert pl.read_parquet(review.labels)["label"].to_list() == ["tie"]


def test_the_difference_holds_both_texts_and_marks_what_the_other_lacks(browser, review: Review) -> None:
    page = opened(browser, review.address)
    found = page.evaluate("parted('the cat sat', 'the dog sat')")
    assert found == [[["the ", 0], ["cat", 1], [" sat", 0]], [["the ", 0], ["dog", 1], [" sat", 0]]]
    # Replies that go round in circles have as many ways to be laid beside each other as there are.
    loop = ["a b " * 700, "b a a b " * 350]
    for one, two in (("", ""), ("", "x"), (CODE, NASTY), ("İ 😀\n", "i 😀"), loop):
        pieces = page.evaluate("([one, two]) => parted(one, two)", [one, two])
        assert ["".join(text for text, _ in side) for side in pieces] == [one, two]
        same = ["".join(text for text, own in side if not own) for side in pieces]
        assert same[0] == same[1]
    assert page.evaluate("parted('a '.repeat(9000), 'b '.repeat(9000))") is None
    page.evaluate(FINISH)


def test_names_and_replies_keep_their_own_direction(browser, review: Review) -> None:
    page = opened(browser, review.address)
    press(page, "t", "1 of 20")
    assert page.locator("#last bdi", has_text="Safety").count() == 1
    page.evaluate("document.getElementById('left').innerHTML = '<p>שלום.</p>'")
    paragraph = page.locator("#left p")
    assert paragraph.evaluate("each => getComputedStyle(each).unicodeBidi") == "plaintext"
    page.evaluate(FINISH)


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
    page.evaluate(FINISH)
    review.thread.join(60)
    page.clock.fast_forward(1000)
    page.get_by_role("button", name="Tie").click()
    page.get_by_text("That was not kept").wait_for()
    assert pl.read_parquet(review.labels).height == 1
