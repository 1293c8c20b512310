import re
import sys
import unicodedata

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from factory.schema import MESSAGES
from filters.text import INERT, nfkc, normalise, normalised, prompt_text

SPACES = "".join(chr(code) for code in range(sys.maxunicode + 1) if chr(code).isspace())


def in_python(text):
    """The same form by Python's own means."""
    return " ".join(unicodedata.normalize("NFKC", text).split())


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("a \n b", "a b"),
        ("a\n \n  b", "a b"),
        ("\ta\u00a0b ", "a b"),
        ("a\u2028 \u1680b\x85", "a b"),
        ("ﬁne ①", "fine 1"),
        ("cafe\u0301", "café"),
        ("가\u11a8", "각"),
        (" \n\u3000", ""),
        ("a\u200bb", "a\u200bb"),
    ],
)
def test_white_space_and_compatible_letters_are_made_one(text, form):
    assert normalise(pl.Series([text, None, "plain"])).to_list() == [form, None, "plain"]
    assert in_python(text) == form


@given(st.lists(st.text(st.one_of(st.characters(), st.sampled_from(SPACES + "a\u0301\u11a8"))), max_size=6))
def test_the_normal_form_in_polars_is_python_s(texts):
    known = [text for text in texts if all(unicodedata.category(char) not in ("Cs", "Cn") for char in text)]
    frame = pl.DataFrame({"text": known}, schema={"text": pl.String})
    assert frame.select(normalised(pl.col("text")))["text"].to_list() == [in_python(text) for text in known]
    assert nfkc(frame["text"]).to_list() == [unicodedata.normalize("NFKC", text) for text in known]


def test_inert_characters_are_their_own_form_and_join_no_other():
    """None has a decomposition or a combining class, and none is the second half of a composed character."""
    halves = {0x1160 + n for n in range(1, 22)} | {0x11A7 + n for n in range(1, 28)}
    for code in range(sys.maxunicode + 1):
        parts = unicodedata.decomposition(chr(code)).split()
        if len(parts) == 2 and not parts[0].startswith("<"):
            halves.add(int(parts[1], 16))
    inert = [chr(code) for code in range(sys.maxunicode + 1) if re.match(f"[{INERT}]", chr(code))]
    assert len(inert) > 30_000
    for char in inert:
        assert unicodedata.normalize("NFKC", char) == char
        assert not unicodedata.combining(char)
        assert ord(char) not in halves


def test_prompt_text_tells_turns_and_roles_apart():
    turns = [
        [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}],
        [{"role": "user", "content": "a"}, {"role": "user", "content": "b"}],
        [{"role": "user", "content": "ab"}],
        [],
    ]
    texts = pl.DataFrame({"prompt": turns}, schema={"prompt": MESSAGES}).select(prompt_text())["prompt"].to_list()
    assert texts[0] == "user\x1ea\x1dassistant\x1eb"
    assert len(set(texts)) == 4
