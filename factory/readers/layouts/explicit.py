"""Layouts with a column for each reply and, but in trl_implicit, one or more for their prompt."""

import polars as pl

from factory.readers.columns.asked import FoundPrompt, asked, replies, reply, talks
from factory.readers.layouts.base import TIE, Columns, Layout, Parts
from factory.readers.messages import is_text
from factory.readers.names import VERDICTS

_TIES = ("tie", "tied")


def _parts(columns: Columns, found: FoundPrompt | None) -> Parts:
    """The parts of a pair; `found` is its prompt, None where the replies bring it."""
    pair = replies(columns)
    assert pair is not None
    steps = columns.first("steps") if pair.kind == "text" else None
    roles = {"prompt": (pair.chosen, pair.rejected)} if found is None else found.columns
    system = None if found is None else next(iter(found.columns["system"]), None)
    repeated = pair.kind != "text"  # such replies may hold the prompt again, without the message that a column has
    return Parts(
        None if found is None else found.bare if repeated else found.turns,
        reply(columns, pair.chosen),
        reply(columns, pair.rejected),
        {**roles, "chosen": (pair.chosen,), "rejected": (pair.rejected,), "steps": (steps,) if steps else ()},
        conversations=pair.kind != "text",
        under=system if repeated else None,
        aside=_ties(columns),
    )


def _ties(columns: Columns) -> tuple[tuple[str, pl.Expr], ...]:
    """Of rows that a column calls a tie neither reply is the better one, whichever stands under chosen."""
    names = [name for name in ("status", *VERDICTS) if is_text(columns.get(name))]
    words = {name: pl.col(name).str.strip_chars().str.to_lowercase() for name in names}
    return tuple((TIE, pl.when(word.is_in(_TIES)).then(pl.lit(f"{name} says tie"))) for name, word in words.items())


def _explicit(name: str, about: str, replies_are: str, claims: str | None, *, rest: bool = False) -> Layout:
    """A layout of replies of one kind beside a prompt.

    `claims`: which of the rows it takes: those whose prompt is `talked` (a list of messages, which a file must have
    for the layout to fit), those with a prompt `given`, or, None, all.
    """

    def fits(columns: Columns) -> bool:
        pair = replies(columns)
        found = asked(columns) if pair is not None and pair.kind == replies_are else None
        return found is not None and (claims != "talked" or found.spoken)

    def rows(columns: Columns) -> pl.Expr | None:
        found = asked(columns)
        if found is None or claims is None:
            return None
        return found.talked if claims == "talked" else found.given

    def parts(columns: Columns) -> Parts:
        found = asked(columns)
        if found is not None and claims == "talked":  # no text that other rows ask with is a part of these
            found = found._replace(columns={**found.columns, "prompt": tuple(talks(columns))})
        return _parts(columns, found)

    return Layout(name, about, fits, parts, rows, rest=rest)


OWN = _explicit(
    "pairs",
    "prompt (or messages, conversations, trajectory, …): message list; chosen, rejected: text",
    "text",
    "talked",
    rest=True,
)
"""Our own pairs table, and any other with a message list as prompt and texts as replies."""

TRL_CONVERSATIONAL = _explicit(
    "trl_conversational",
    "prompt (or messages, conversations, …), chosen, rejected: message lists",
    "messages",
    "talked",
)
"""TRL's conversational explicit layout. Files are met whose replies repeat the prompt; it is not doubled then."""

ULTRAFEEDBACK = _explicit(
    "ultrafeedback",
    "prompt (or question, instruction, …): text; chosen, rejected: message lists",
    "messages",
    "given",
)
"""UltraFeedback-binarized: the prompt as a text, chosen and rejected as whole conversations."""

SHAREGPT = _explicit(
    "sharegpt",
    "conversations (or messages, prompt): message list, or a text; chosen, rejected: message",
    "message",
    None,
)
"""LLaMA-Factory's sharegpt layout: the conversation so far, and the two next messages."""

PLAIN = _explicit(
    "plain",
    "prompt (or question, query, instruction with input, …), chosen, rejected: text; system, history: optional",
    "text",
    "given",
    rest=True,
)
"""A prompt and two replies, all of them texts: TRL's standard explicit layout, axolotl's, LLaMA-Factory's alpaca."""


def _messages(columns: Columns) -> bool:
    pair = replies(columns)
    return pair is not None and pair.kind == "messages"


TRL_IMPLICIT = Layout(
    "trl_implicit",
    "chosen, rejected: message lists, prompt included (Skywork)",
    _messages,
    lambda columns: _parts(columns, None),
)
"""TRL's conversational implicit layout, which is Skywork's too: two whole conversations and no prompt."""
