r"""Dialogues written into one text, as hh-rlhf does: `\n\nHuman: …\n\nAssistant: …`."""

import polars as pl

from factory.readers.messages import PROBLEM, TURNS, blank, joined, said

_HUMAN, _ASSISTANT = "\n\nHuman:", "\n\nAssistant:"
_SPEAKERS = {_HUMAN: "u", _ASSISTANT: "a"}
"""The letter of each while the text is cut up; _HUMAN stands before both then, and nowhere else, so it comes first."""


def is_transcript(text: pl.Expr) -> pl.Expr:
    """Whether a text is such a dialogue."""
    begins = text.str.starts_with(_HUMAN) | text.str.starts_with(_HUMAN.lstrip())
    return (begins & text.str.contains(_ASSISTANT, literal=True)).fill_null(value=False)


_LED = r"(?s)\A(.*?)\n\n(Human|Assistant):"


def is_led(text: pl.Expr) -> pl.Expr:
    """Whether a text has such a dialogue below a text of its own, as of the system: ordinary texts may quote one."""
    begins = text.str.extract(_LED, 2) == "Human"
    return (begins & text.str.contains(_ASSISTANT, literal=True)).fill_null(value=False)


def lead(text: pl.Expr) -> pl.Expr:
    """What stands before such a dialogue."""
    return text.str.extract(_LED, 1)


def is_open(text: pl.Expr) -> pl.Expr:
    """Whether a text is such a dialogue that waits for the assistant, or begins as one."""
    waits = text.str.strip_chars_end().str.ends_with(_ASSISTANT).fill_null(value=False)
    may = text.str.contains(_HUMAN.lstrip(), literal=True).fill_null(value=False)  # quick, and false of most texts
    # Also a first turn alone, which nobody has answered.
    opens = text.str.strip_chars_start("\n").str.starts_with(_HUMAN.lstrip()).fill_null(value=False)
    return pl.when(may).then(opens | is_transcript(text) | (is_led(text) & waits)).otherwise(pl.lit(value=False))


_LINES = r"(?s)\A\s*(?:Human|User):.*\n\s*Assistant:"
"""Such a dialogue whose turns are lines, or whose people are called users, which is told by how it begins."""


def spaced(text: pl.Expr) -> pl.Expr:
    """Texts, of which such dialogues are written as hh-rlhf does."""
    # A function of the whole column, as each expression that names a text makes polars plan for longer.
    return text.map_batches(_spaced, return_dtype=pl.String, is_elementwise=True)


def _spaced(texts: pl.Series) -> pl.Series:
    found = texts.str.contains(_LINES).fill_null(value=False)
    if not found.any():
        return texts
    made = texts.str.replace_all(r"(?:\A|\n)\s*(?:Human|User):", _HUMAN).str.replace_all(r"\n\s*Assistant:", _ASSISTANT)
    # With blank lines there, a line within a turn may begin so.
    blank_lines = texts.str.contains(_ASSISTANT, literal=True).fill_null(value=False)
    users = texts.str.replace_all(r"(?:\A\s*|\n\n)User:", _HUMAN).zip_with(texts.str.contains(r"\A\s*User:"), texts)
    return users.zip_with(blank_lines, made).zip_with(found, texts)


def turns(text: pl.Expr) -> pl.Expr:
    """The TURNS of such a dialogue, white space around each of them gone; the text before it is the system's."""
    # A dialogue may begin without the blank lines before its first speaker.
    marked = pl.concat_str(pl.lit("\n\n"), text.str.strip_chars_start("\n"))
    for speaker, letter in _SPEAKERS.items():
        marked = marked.str.replace_all(speaker, _HUMAN + letter, literal=True)
    piece = pl.element()
    role = pl.when(piece.str.starts_with("u")).then(pl.lit("user")).when(piece.str.starts_with("a"))
    turn = pl.struct(
        role.then(pl.lit("assistant")).alias("role"),
        piece.str.slice(1).str.strip_chars().alias("content"),
        pl.lit(None, dtype=pl.String).alias(PROBLEM),
    )
    pieces = marked.str.split(_HUMAN)
    before = pieces.list.first().str.strip_chars()
    spoken = pieces.list.slice(1).list.eval(turn).cast(TURNS)
    return pl.when(blank(before)).then(spoken).otherwise(joined(said("system", before), spoken))


def asked(text: pl.Expr) -> pl.Expr:
    """The TURNS of a dialogue that ends where the assistant is to speak, without that empty turn."""
    # Of the text, not of the turns: an expression that names them several times makes polars plan for a second.
    return turns(text.str.strip_chars_end().str.strip_suffix(_ASSISTANT))
