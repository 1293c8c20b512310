"""What pages of HTML have in common: their styles and scripts, and a policy that lets them run nothing else."""

import re
from base64 import b64encode
from collections.abc import Mapping
from functools import cache
from hashlib import sha256
from importlib.resources import files
from typing import TYPE_CHECKING

from markupsafe import Markup, escape

if TYPE_CHECKING:
    from markdown_it import MarkdownIt


def asset(name: str, package: str = "factory.exports") -> str:
    """A file of the templates of `package`."""
    return files(package).joinpath(f"templates/{name}").read_text(encoding="utf-8")


def content_policy(style: str, script: str | None = None, *more: str) -> str:
    """A Content-Security-Policy: this style, this script, what `more` directives allow, and nothing else.

    They are allowed by their hash and not by 'unsafe-inline', so that markup in a reply, should it ever get past the
    escaping, still cannot act.
    """
    scripts = [] if script is None else [f"script-src {_source(script)}"]
    allowed = [*scripts, f"style-src {_source(style)}", *more]
    # base-uri and form-action are named, as neither falls back to default-src.
    return "; ".join(["default-src 'none'", *allowed, "base-uri 'none'", "form-action 'none'"])


def _source(text: str) -> str:
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"


@cache
def _renderer() -> "MarkdownIt":
    from markdown_it import MarkdownIt

    # html off, so that markup in a reply stays text in the page as well.
    return MarkdownIt("commonmark", {"html": False}).enable("table")


def as_html(title: str, text: str, figures: Mapping[str, Markup] | None = None) -> str:
    """Markdown of our own making as a page that needs nothing else and may do nothing.

    `figures` are drawings, by the file name of the picture in whose place each stands.
    """
    style = asset("report.css")
    body = str(_renderer().render(text))
    for name, drawing in (figures or {}).items():
        # Found and cut, not substituted: a drawing may hold what re.sub reads as a group.
        picture = re.search(rf'<p><img src="{re.escape(name)}"[^>]*></p>', body)
        if picture:
            body = f"{body[: picture.start()]}{drawing}{body[picture.end() :]}"
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{content_policy(style)}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<title>{escape(title)}</title>\n<style>{style}</style>\n</head>\n<body>\n<main class="document">\n'
        f"{body}</main>\n</body>\n</html>\n"
    )
