"""The review's page: what it shows of a pair, as JSON; markdown as markup in which nothing of the data can act."""

from collections.abc import Mapping
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
    label, sides = session.label_of(item), session.sides(item)
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

    def opened(self: Any, tokens: Any, position: int, options: Any, env: Any) -> str:
        return f'<span class="link" title="{escape(tokens[position].attrGet("href") or "")}">'

    def closed(self: Any, tokens: Any, position: int, options: Any, env: Any) -> str:
        return "</span>"

    # markdown-it aligns cells by style attributes, which the page's policy refuses.
    def cell(self: Any, tokens: Any, position: int, options: Any, env: Any) -> str:
        return f"<{tokens[position].tag}>"

    def fence(self: Any, tokens: Any, position: int, options: Any, env: Any) -> str:
        return f"<pre><code>{escape(tokens[position].content)}</code></pre>\n"

    for name, rule in (("link_open", opened), ("link_close", closed), ("th_open", cell), ("td_open", cell)):
        made.add_render_rule(name, rule)
    made.add_render_rule("fence", fence)
    return made


def page() -> tuple[str, Mapping[str, str]]:
    """The page's markup, which is the same for everybody, and the headers that say what it may do."""
    style = asset("report.css") + asset("review.css", HERE)
    script = asset("difference.js") + asset("review.js", HERE)
    body = asset("review.html", HERE).replace("/*style*/", style).replace("/*script*/", script)
    policy = content_policy(style, script, "connect-src 'self'", "frame-ancestors 'none'")
    return body, {"Content-Security-Policy": policy}
