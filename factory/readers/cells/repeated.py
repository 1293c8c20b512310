"""Replies that begin with the whole text of their prompt, as hh-rlhf's do where a prompt was cut out of them."""

from collections.abc import Sequence

import polars as pl

_AGAIN, _WAITS = "__again", "__waits"


def looks(names: Sequence[str]) -> list[pl.Expr]:
    """What a look at the texts must see to tell; `names`: of the prompt and both replies, else nothing is looked at."""
    return [_again(names).alias(_AGAIN), _waits(names[0]).alias(_WAITS)] if len(names) == 3 else []


def without(frame: pl.LazyFrame, names: Sequence[str], seen: pl.DataFrame) -> tuple[pl.LazyFrame, tuple[str, ...]]:
    """`frame`, the dialogues of their prompts gone from its replies, and what is to be said of all such replies.

    `seen` has the `looks`. A frame without such a dialogue is given back as it is.
    """
    if _AGAIN not in seen or not seen[_AGAIN].any():
        return frame, ()
    prompt, *replies = names
    said = []
    dialogues = int((seen[_AGAIN] & seen[_WAITS]).sum())
    others = int(seen[_AGAIN].sum()) - dialogues
    if dialogues:
        said.append(f"{' and '.join(replies)} hold the dialogue of their prompt again, and lose it")
        bare = {name: pl.col(name).str.strip_prefix(pl.col(prompt)).str.strip_chars() for name in replies}
        dialogue = _again(names) & _waits(prompt)
        frame = frame.with_columns(pl.when(dialogue).then(t).otherwise(name).alias(name) for name, t in bare.items())
    if others:
        said.append(f"both replies of {others:,} rows begin with the whole text of their prompt, and keep it")
    return frame, tuple(said)


def _again(names: Sequence[str]) -> pl.Expr:
    """Whether both replies of a row begin with its prompt, of several words."""
    prompt, *replies = (pl.col(name) for name in names)
    return pl.all_horizontal(prompt.str.contains(r"\S\s"), *(reply.str.starts_with(prompt) for reply in replies))


def _waits(prompt: str) -> pl.Expr:
    """Whether a prompt is a dialogue that waits for the assistant."""
    return pl.col(prompt).str.ends_with("Assistant:")
