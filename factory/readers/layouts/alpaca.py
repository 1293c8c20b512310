"""LLaMA-Factory's alpaca layout: instruction, input, chosen, rejected, with system and history where there are any."""

import polars as pl

from factory.readers.layouts.base import Columns, Layout, Parts
from factory.readers.messages import TURNS, blank, is_text, joined, said, under_system

_ROUNDS = pl.List(pl.List(pl.String))


def question(columns: Columns) -> pl.Expr:
    """Instruction and input as one text, a line break between, as LLaMA-Factory joins them."""
    instruction = pl.col("instruction")
    if not is_text(columns.get("input")):
        return instruction
    extra = pl.col("input")
    both = pl.concat_str(instruction, pl.lit("\n"), extra)
    return pl.when(blank(extra)).then(instruction).when(blank(instruction)).then(extra).otherwise(both)


def history(columns: Columns) -> pl.Expr:
    """The earlier rounds, a list of [question, answer], as TURNS."""
    if columns.get("history") != _ROUNDS:
        return pl.lit([], dtype=TURNS)
    ask, answer = (pl.element().list.get(place, null_on_oob=True).fill_null("") for place in (0, 1))
    rounds = pl.concat_list(said("user", ask), said("assistant", answer))
    return pl.col("history").list.eval(rounds.explode()).cast(TURNS)


def _fits(columns: Columns) -> bool:
    return all(is_text(columns.get(name)) for name in ("instruction", "chosen", "rejected"))


def _rows(columns: Columns) -> pl.Expr:
    return pl.col("instruction").is_not_null()


def _parts(columns: Columns) -> Parts:
    prompt = under_system(columns, joined(history(columns), said("user", question(columns))))
    used = frozenset({"instruction", "input", "system", "history", "chosen", "rejected"})
    return Parts(prompt, pl.col("chosen"), pl.col("rejected"), used)


ALPACA = Layout("alpaca", "instruction, chosen, rejected: text; input, system, history: optional", _fits, _parts, _rows)
