"""Text of others is shown letter by letter, and makes no markup of ours."""

import re

import pytest
from markdown_it import MarkdownIt

from factory.exports.pages.markdown import environment, escaped, fenced, without_empty_columns


def test_columns_go_where_no_row_has_a_value_and_code_stays() -> None:
    code = "\n```\n| a | b |\n|---|---|\n| 1 | – |\n```\n"
    given = "| a | b | c |\n|---|---:|---|\n| 1 | – | x \\| y |\n" + code
    assert without_empty_columns(given) == "| a | c |\n| --- | --- |\n| 1 | x \\| y |\n" + code


def test_escaping_shows_every_letter() -> None:
    text = r"a*b_c`d[e](f)!g|h<i>&j\k#l~m$n://o www.p"
    html = MarkdownIt("commonmark").enable("table").render(str(escaped(text)))
    assert html == "<p>a*b_c`d[e](f)!g|h&lt;i&gt;&amp;j\\k#l~m$n://o www.p</p>\n"
    assert escaped("line\none\u2028two") == "line one two"


@pytest.mark.parametrize(
    "text", ["- x", "+ x", "1. x", "12) x", "---", "===", "- ", "=", "* x", "# x", "> x", "a\n- b"]
)
def test_no_mark_at_the_start_of_a_line_makes_a_list_or_a_heading(text: str) -> None:
    for before in ("", "- ", "words\n"):
        html = MarkdownIt("commonmark").enable("table").render(f"{before}{escaped(text)}\n")
        assert html.count("<li>") == before.count("-")
        assert not re.search(r"<(h\d|hr|blockquote)", html)


@pytest.mark.parametrize("text", ["http://x.y", "HTTPS://x.y", "WWW.x.y", "me@x.example", "mailto:me@x.example"])
def test_no_address_stands_bare(text: str) -> None:
    assert re.search(r"\w+://|(?i:www)\.|\w@", str(escaped(text))) is None


def test_text_of_others_turns_none_of_ours_around() -> None:
    """U+202E would show `evil` and all after it from right to left; Hebrew stands between isolates."""
    assert escaped("a\u202eevil\u2069\u200f") == "aevil"
    assert escaped("\u05d0\u05d1 1") == "\u2068\u05d0\u05d1 1\u2069"
    assert environment().from_string("{{ text }}: 5").render(text="\u202e\u05d0") == "\u2068\u05d0\u2069: 5"


def test_a_fence_is_longer_than_any_in_the_text() -> None:
    assert fenced("a\n````\nb") == "`````\na\n````\nb\n`````"


def test_templates_escape_what_they_print_unless_told() -> None:
    made = environment().from_string("{{ text }} {{ n }} {{ none }}")
    assert made.render(text="<b>*", n=3, none=None) == r"&lt;b&gt;\* 3 "
