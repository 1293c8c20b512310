"""Text as filters compare it: one string per prompt, one form for what differs only in spacing or Unicode spelling."""

from collections.abc import Callable

import polars as pl

_CONTROL_SPACES = r"[\t-\r\x1c-\x1f]+"
_RARE_SPACES = r"[\u0085\u1680\u2028\u2029]"
"""With the control characters, what Unicode calls whitespace and NFKC does not turn into a plain space."""

INERT = (
    r"\x00-\x7f"
    r"\u00a1-\u00a7\u00a9\u00ab-\u00ae\u00b0\u00b1\u00b6\u00b7\u00bb\u00bf-\u0131\u0134-\u013e\u0141-\u0148\u014a-\u017e"
    r"\u0391-\u03a1\u03a3-\u03c9\u0400-\u0482\u05d0-\u05ea\u0621-\u064a\u0904-\u0939\u0e01-\u0e32\u0e34-\u0e37"
    r"\u200b-\u200f\u2010\u2012-\u2016\u2018-\u2023\u2030-\u2032\u20a0-\u20a7\u20a9-\u20bf\u2190-\u222b"
    r"\u2500-\u2a0b\u3001-\u3029\u3030-\u3035\u3041-\u3096\u30a1-\u30fe\u4e00-\u9fff\uac00-\ud7a3\ufe0e\ufe0f"
    r"\U0001f300-\U0001faff"
)
"""Characters that NFKC changes in no surroundings (not all there are), as the inside of a regular expression class."""


def prompt_text(prompt: str = "prompt") -> pl.Expr:
    """The conversation as one string: role and content of each turn, kept apart by control characters."""
    turn = pl.element().struct
    line = pl.concat_str(turn.field("role"), turn.field("content"), separator="\x1e", ignore_nulls=True)
    return pl.col(prompt).list.eval(line).list.join("\x1d")


def normalised(text: pl.Expr) -> pl.Expr:
    """`text` in NFKC, each run of whitespace one space, none at the ends: the form in which duplicates are equal."""
    return text.map_batches(normalise, return_dtype=pl.String, is_elementwise=True)


def normalise(texts: pl.Series) -> pl.Series:
    """`normalised`, of a series. Each change is made where it is needed: looking is many times faster than changing."""
    plain = _foreign(texts, lambda some: some.str.normalize("NFKC").str.replace_all(_RARE_SPACES, " "))
    lines = plain.str.replace_all(_CONTROL_SPACES, " ")
    loose = lines.str.contains("  ", literal=True) | lines.str.starts_with(" ") | lines.str.ends_with(" ")
    return where(lines, loose, lambda some: some.str.replace_all("  +", " ").str.strip_chars(" "))


def nfkc(texts: pl.Series) -> pl.Series:
    """The texts in NFKC."""
    return _foreign(texts, lambda some: some.str.normalize("NFKC"))


def _foreign(texts: pl.Series, change: Callable[[pl.Series], pl.Series]) -> pl.Series:
    """The texts, those changed that hold a character which is not inert."""

    def inner(wide: pl.Series) -> pl.Series:
        return where(wide, wide.str.contains(f"[^{INERT}]"), change)

    # Bytes and characters are equal in number in ASCII, which two counts tell far sooner than a regular expression.
    return where(texts, texts.str.len_bytes() != texts.str.len_chars(), inner)


def where(texts: pl.Series, mask: pl.Series, change: Callable[[pl.Series], pl.Series]) -> pl.Series:
    """The texts, those changed for which the mask holds."""
    places = mask.arg_true()
    # scatter writes into the very series; the caller's stays as it is.
    return texts if places.is_empty() else texts.clone().scatter(places, change(texts.gather(places)))
