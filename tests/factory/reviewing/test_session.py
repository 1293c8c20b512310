"""A person's way through pairs: order, sides, undo, and what the page is told before and after an answer."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from factory.reviewing.labels import Answers
from factory.reviewing.page import markdown, page, state
from factory.reviewing.session import ReviewItem, Session, StaleAnswerError

TOLD = {"facts": {"feature": "Safety", "system_good": "be good", "system_bad": "be bad"}, "verdicts": ["J: right"]}


def items(count: int) -> list[ReviewItem]:
    prompt = [{"role": "user", "content": "q"}]
    return [ReviewItem(f"p{n}", prompt, f"better {n}", f"worse {n}", TOLD) for n in range(count)]


Make = Callable[..., Session]


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Make]:
    """Makes sessions whose answers lie in one folder; the same name again goes on where it stopped."""
    opened: dict[str, Answers] = {}

    def make(count: int = 3, name: str = "ana", blind: bool = False) -> Session:
        if name in opened:
            opened[name].__exit__()
        opened[name] = Answers(tmp_path / "labels.parquet", name)
        return Session(items(count), opened[name], 1, blind)

    yield make
    for answers in opened.values():
        answers.__exit__()


def better_side(at: Session) -> str:
    item = at.current
    assert item is not None
    return "1" if at.sides(item).left == item.chosen else "2"


def test_an_answer_is_mapped_from_its_side_to_its_label(session: Make) -> None:
    at = session(4)
    other = {"1": "2", "2": "1"}
    for turn, key in enumerate((better_side(at),)):
        at.answer(turn, key)
    at.answer(1, other[better_side(at)])
    at.answer(2, "t")
    at.answer(3, "s")
    assert [label for label, _ in at.answers.given.values()] == ["chosen", "rejected", "tie", "skip"]
    assert at.current is None
    assert state(at)["pair"] is None


def test_sides_are_a_coin_by_pair_and_person(session: Make) -> None:
    """Of 400 pairs, 200 give or take 4 standard deviations have the chosen reply on the left."""
    ana, bo = session(400), session(400, "bo")
    lefts = [[at.sides(item).left_is == "chosen" for item in at.items] for at in (ana, bo)]
    assert all(160 < sum(each) < 240 for each in lefts)
    assert 100 < sum(one != two for one, two in zip(*lefts, strict=True)) < 300


def test_undo_goes_back_as_often_as_asked_over_a_restart(session: Make) -> None:
    at = session()
    at.answer(0, "u")
    at.answer(0, "t")
    at.answer(1, "t")
    again = session()
    assert again.done == 2
    again.answer(2, "u")
    again.answer(1, "u")
    assert (again.done, again.current.pair_id) == (0, "p0")


@pytest.mark.parametrize(("turn", "key"), [(1, "1"), (-1, "1"), (1, "u"), (0, "x"), (0, ""), (0, "12")])
def test_an_answer_to_another_turn_or_of_another_kind_is_none(turn: int, key: str, session: Make) -> None:
    at = session()
    with pytest.raises(StaleAnswerError):
        at.answer(turn, key)
    assert at.answers.given == {}


def test_before_the_answer_nothing_tells_which_reply_is_called_chosen(session: Make) -> None:
    at = session()
    before = json.dumps(state(at))
    for word in ("chosen", "rejected", "Safety", "be good", "J: right", "p0"):
        assert word not in before
    at.answer(0, better_side(at))
    last = state(at)["last"]
    assert last["answer"] == last["chosen"]
    assert (last["facts"]["feature"], last["verdicts"]) == ("Safety", ["J: right"])


def test_a_blind_review_tells_nothing_afterwards_either(session: Make) -> None:
    at = session(blind=True)
    at.answer(0, "1")
    assert state(at)["last"] == {"answer": "left"}


NASTY = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "[click](javascript:alert(1))",
    '[click](https://evil.example "x\\" onclick=alert(1)")',
    "![x](https://evil.example/x.png)",
    "| a | b |\n|:-|-:|\n| <b>c</b> | d |",
    '```html" onload="x\n<b>code</b>\n```',
    "<https://evil.example>",
]


TAGS = {"p", "br", "em", "strong", "code", "pre", "span", "ul", "ol", "li", "blockquote", "hr"}
TAGS |= {"table", "thead", "tbody", "tr", "th", "td", *(f"h{n}" for n in range(1, 7))}


def has_plain_tags_alone(html: str) -> None:
    """Every tag is one of TAGS and bare, but for a link's title and a list's first number."""
    for tag, rest in re.findall(r"<[/!]?([^\s>]*)([^>]*)>", html):
        assert tag.strip("/") in TAGS
        assert re.fullmatch(r'| /| class="link" title="[^"<]*"| start="[0-9]+"', rest)


@pytest.mark.parametrize("text", NASTY)
def test_markdown_lets_nothing_act(text: str) -> None:
    has_plain_tags_alone(markdown(text))


def test_the_check_of_tags_bites() -> None:
    for bad in ("<img src=x>", "<p onclick='x'>", '<a href="x">', '<td style="x">', "<script>"):
        with pytest.raises(AssertionError):
            has_plain_tags_alone(bad)


@settings(max_examples=100, deadline=None)
@given(
    st.text(max_size=200) | st.lists(st.sampled_from([*NASTY, "\n", "\n\n", "`", "*", "# ", "> ", "- "])).map("".join)
)
def test_markup_has_the_tags_of_markdown_alone(text: str) -> None:
    has_plain_tags_alone(markdown(text))


def test_code_is_shown_as_it_is() -> None:
    assert markdown("```python\nif a < b:\n    pass\n```") == "<pre><code>if a &lt; b:\n    pass\n</code></pre>\n"


def test_the_page_carries_no_data_and_may_do_little() -> None:
    body, headers = page()
    policy = headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe" not in policy
    assert "http" not in body.replace("http-equiv", "")
