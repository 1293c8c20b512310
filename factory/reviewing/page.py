"""The review's page: what it shows of a pair, as JSON; markdown as markup in which nothing of the data can act."""

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from markdown_it import MarkdownIt
from markupsafe import escape

from factory.exports.pages.html import asset, content_policy
from factory.reviewing.session import ReviewItem, Session

HERE = "factory.reviewing"
LONGEST = 200_000
"""Characters of a text that are shown."""


def state(session: Session) -> dict[str, Any]:
    """All that the page shows now. Of the current pair nothing tells which reply is called chosen."""
    item = session.current
    return {
        "turn": session.done,
        "total": len(session.items),
        "annotator": session.answers.annotator,
        "pair": None if item is None else _pair(session, item),
        "last": None if session.last is None else _last(session, session.last),
    }


def _pair(session: Session, item: ReviewItem) -> dict[str, Any]:
    sides = session.sides(item)
    return {
        "prompt": [{"role": turn["role"], **shown(turn["content"])} for turn in item.prompt],
        "left": shown(sides.left),
        "right": shown(sides.right),
    }


def _last(session: Session, item: ReviewItem) -> dict[str, Any]:
    """What was answered last; where the review is not blind, also what the data say of that pair."""
    label, sides = session.answers.given[item.pair_id][0], session.sides(item)
    said = {sides.left_is: "left", "tie": "tie", "skip": "skip"}.get(label, "right")
    if session.blind:
        return {"answer": said}
    return {"answer": said, "chosen": "left" if sides.left_is == "chosen" else "right", **item.told}


def shown(text: str) -> dict[str, Any]:
    """A text as it is, and as the markup its markdown stands for."""
    cut = text[:LONGEST]
    return {"text": cut, "html": markdown(cut), "length": len(text)}


def markdown(text: str) -> str:
    """Markdown as markup without raw HTML, images, styles, or links that lead anywhere."""
    return str(_renderer().render(text))


@cache
def _renderer() -> MarkdownIt:
    # A link becomes a span that shows where it would lead, as nothing on the page may lead away from it.
    made = MarkdownIt("commonmark", {"html": False, "breaks": True}).enable("table").disable("image")

    rules: dict[str, Callable[[Any], str]] = {
        "link_open": lambda token: f'<span class="link" title="{escape(token.attrGet("href") or "")}">',
        "link_close": lambda token: "</span>",
        # markdown-it aligns cells by style attributes, which the page's policy refuses.
        "th_open": lambda token: "<th>",
        "td_open": lambda token: "<td>",
        "fence": lambda token: f"<pre><code>{escape(token.content)}</code></pre>\n",
    }
    for name, rule in rules.items():
        made.add_render_rule(name, lambda self, tokens, position, options, env, rule=rule: rule(tokens[position]))
    return made


def page() -> tuple[str, Mapping[str, str]]:
    """The page's markup, which is the same for everybody, and the headers that say what it may do."""
    style = asset("report.css") + asset("review.css", HERE)
    script = asset("difference.js") + asset("review.js", HERE)
    body = asset("review.html", HERE).replace("/*style*/", style).replace("/*script*/", script)
    policy = content_policy(style, script, "connect-src 'self'", "frame-ancestors 'none'")
    return body, {"Content-Security-Policy": policy}
