"""The first stage: which prompts are used, and which iteration each one is for."""

from math import ceil

import polars as pl

from factory.config.prompts import Prompts
from factory.engines.base import TokenCounter
from factory.errors import InputError
from factory.identity import draw
from factory.schema import PROMPTS, REJECTED, Split, conform

STAGE = "prompts"
OVER_LIMIT, TOO_LONG = "over_limit", "too_long"
LEAST_ROOM = 16
"""Tokens that a reply must have room for, however small the context."""
LEAST_SHARE = 8
"""A reply must have room for this part (one in …) of the context, or for all that it may take, if that is less."""
_MOST_LETTERS = 256
"""Bytes that no token is longer than: text with more of them per token of context is not worth counting."""


def prompts(split: Split, config: Prompts, seed: int, iterations: int) -> Split:
    """PROMPTS: each prompt with its portion, from 1 to `iterations`, and where there is a limit the rest set aside.

    Portion and order under the limit are seeded hashes of the prompt's content: they depend neither on the order of the
    files nor on which other prompts there are. So portions are of about equal size, and with few prompts one may be
    empty. With a target there are as many portions as it takes, of `per_round` prompts each, in the order of the hash:
    1 to `iterations` are the iterations', the others wait for further rounds. Raises InputError when no prompt is left.
    """
    kept = required(split, config).kept
    ids = kept["prompt_id"]
    planned, set_aside = kept, split.rejected
    if config.limit is not None and kept.height > config.limit:
        # By hash, not by place: more prompts in the files, or another order of them, leave the others where they are.
        rank = _drawn(ids, seed, "limit").rank("ordinal")
        planned = kept.filter(rank <= config.limit)
        over = rejected(kept.filter(rank > config.limit), OVER_LIMIT, pl.lit(f"the limit is {config.limit} prompts"))
        set_aside = pl.concat([split.rejected, over], how="diagonal")
    return Split(conform(in_portions(planned, config, seed, iterations), PROMPTS), set_aside)


def in_portions(planned: pl.DataFrame, config: Prompts, seed: int, iterations: int) -> pl.DataFrame:
    """`planned` with the column `portion`. Where some prompts fell away, asking again closes the gaps of a target."""
    hashes = _drawn(planned["prompt_id"], seed, "portion")
    size = per_round(config, iterations)
    if size is None:
        return planned.with_columns(portion=1 + hashes % iterations)
    # ordinal: of two equal hashes one still comes first.
    return planned.with_columns(portion=1 + (hashes.rank("ordinal").cast(pl.Int64) - 1) // size)


def per_round(config: Prompts, iterations: int) -> int | None:
    """Prompts of each iteration and further round under a target; None without one."""
    if config.target_pairs is None:
        return None
    return config.per_round or ceil(config.target_pairs / iterations)


def required(split: Split, config: Prompts) -> Split:
    """The split as it is. Raises InputError, with the reasons counted and the last one in words, when none is kept."""
    if split.kept.height:
        return split
    reasons = split.rejected["reason"].value_counts(sort=True).rows() if split.rejected.height else []
    why = ", ".join(f"{count} {reason}" for reason, count in reasons) or "the files are empty"
    detail = split.rejected["detail"].drop_nulls().tail(1).to_list() if split.rejected.height else []
    said = "".join(f": {words}" for words in detail)
    raise InputError(f"{', '.join(config.paths)}: no prompt can be used ({why}){said}; give files with prompts")


def _drawn(ids: pl.Series, seed: int, name: str) -> pl.Series:
    return pl.Series([draw(seed, name, prompt_id) for prompt_id in ids], dtype=pl.Int64)


def within_context(prompts: pl.DataFrame, counter: TokenCounter, room: int, extra: int) -> Split:
    """The prompts that leave a reply room in the model's context, and the others as rejected, too_long.

    `room` is the most tokens a reply may take, `extra` the most that a system message adds to a prompt. A reply need
    not have all of `room`, since one that meets the end of the context is only cut short: a prompt goes when it leaves
    less than an eighth of the context (16 tokens at least), or less than `room` where that is smaller still. Without a
    known context length every prompt is kept.
    """
    context = counter.context_length
    if context is None or not prompts.height:
        return Split(prompts, rejected(prompts.clear(), TOO_LONG, pl.lit(None)))
    # A large `room` alone would reject every prompt of a small model.
    needed = min(room, max(LEAST_ROOM, context // LEAST_SHARE))
    lengths = _lengths(prompts, counter, context)
    counted = prompts.with_columns(lengths.alias("__tokens"))
    tokens = pl.col("__tokens")
    fits = tokens + extra + needed <= context
    more = pl.when(tokens > context).then(pl.lit(" or more")).otherwise(pl.lit(""))
    rest = f" tokens, system messages up to {extra}, a reply needs {needed}, the context is {context}"
    detail = pl.concat_str(pl.lit("the prompt has "), tokens, more, pl.lit(rest))
    too_long = rejected(counted.filter(~fits), TOO_LONG, detail).drop("__tokens")
    return Split(counted.filter(fits).drop("__tokens"), too_long)


def _lengths(prompts: pl.DataFrame, counter: TokenCounter, context: int) -> pl.Series:
    """Tokens of each prompt; a text so long that it cannot fit is not tokenised and counts as context + 1."""
    contents = pl.element().struct.field("content").str.len_bytes()
    size = prompts.select(pl.col("prompt").list.eval(contents).list.sum()).to_series()
    countable = size <= context * _MOST_LETTERS
    # All in one call, as tokenizers are fast in batches.
    counts = iter(counter.count_tokens(prompts.filter(countable)["prompt"].to_list()))
    return pl.Series([next(counts) if small else context + 1 for small in countable], dtype=pl.Int64)


def rejected(rows: pl.DataFrame, reason: str, detail: pl.Expr) -> pl.DataFrame:
    """`rows` with the columns of REJECTED in front."""
    tokens = {"filter": pl.lit(STAGE), "reason": pl.lit(reason), "detail": detail.cast(pl.String)}
    columns = [name for name in rows.columns if name not in REJECTED.columns]
    return rows.select(*(token.alias(name) for name, token in tokens.items()), *columns)
