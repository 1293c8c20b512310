"""The contract of an export format: what a row is made of, which pairs it cannot hold, and which names are taken."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import polars as pl

from factory.errors import InputError
from factory.schema import MESSAGES, PAIRS, SCORES, check

PROBLEM = "__problem"
"""Column that holds why a pair cannot be written in a format; null where it can."""

TEXTS = ("prompt", "chosen", "rejected", "original", "system_good", "system_bad")
"""Columns that only a format which asks for them carries; all others follow into every format."""

RESERVED = frozenset(
    {"tools", "chat_template_kwargs", "messages", "margin", "question", "input", "instruction", "output", "history"}
    | {"prompt", "completion", "label", "labels", "image", "images", "conversations", "system", "text", "extra"}
    | {"prompt_ids", "chosen_ids", "rejected_ids", "chosen_input_ids", "rejected_input_ids", "input_ids"}
    | {"attention_mask", "ref_chosen_logps", "ref_rejected_logps", "text_chosen", "text_rejected"}
)
"""Names that trainers and loaders read when they are there: TRL, OpenRLHF, rewardbench, LLaMA-Factory, axolotl."""


@dataclass(frozen=True)
class Format:
    """One export format: its own columns as expressions over PAIRS, and which pairs it cannot hold."""

    name: str
    fields: Mapping[str, pl.Expr]
    """The format's own columns, in order. The pair's other columns and the user's follow them."""
    problem: pl.Expr
    """Null where the pair can be written, else the reason it is left out."""
    one_per_prompt: bool = False
    """Keep one pair of each prompt, the one that helps the balance of lengths, unless the export says otherwise."""
    replies: tuple[str, str] = ("chosen", "rejected")
    """Those of its columns that hold the two replies, as texts or as message lists: the card counts over them."""
    apart: tuple[str, ...] = ()
    """Fields that hold a list with a value for each row that a pair makes; empty where a pair is one row."""
    system_kept: Mapping[str, pl.Expr] | None = None
    """The fields with the prompt's own system message as a message of its own, where `fields` fold it in."""
    json: bool = False
    """One JSON array per split while a split fits one shard, as LLaMA-Factory's users know it; Parquet beyond."""


def message(role: str, content: pl.Expr) -> pl.Expr:
    """A chat message with the role given and the content of an expression."""
    return pl.struct(pl.lit(role).alias("role"), content.alias("content"))


def as_reply(name: str) -> pl.Expr:
    """A column of texts as lists of one assistant message."""
    return pl.concat_list(message("assistant", pl.col(name)))


def first() -> pl.Expr:
    """The first message of the prompt."""
    # first, which is null for an empty list, where get(0) ends in an error.
    return pl.col("prompt").list.first()


def has_system() -> pl.Expr:
    """Whether the prompt begins with a system message of its own."""
    # eq_missing: with a plain ==, an empty prompt would be neither with nor without a system message.
    return first().struct.field("role").eq_missing("system")


def system() -> pl.Expr:
    """The prompt's own system message, or an empty string."""
    return pl.when(has_system()).then(first().struct.field("content")).otherwise(pl.lit(""))


def turns() -> pl.Expr:
    """The prompt without its own system message."""
    return pl.when(has_system()).then(pl.col("prompt").list.slice(1)).otherwise(pl.col("prompt"))


def folded() -> pl.Expr:
    """The prompt with its own system message put above the text of the first user turn, a blank line between."""
    # A prompt may be its system message alone; the format's `problem` then leaves the pair out.
    second = pl.col("prompt").list.get(1, null_on_oob=True).struct.field("content")
    text = first().struct.field("content") + pl.lit("\n\n") + second
    merged = pl.concat_list(message("user", text), pl.col("prompt").list.slice(2))
    return pl.when(has_system()).then(merged).otherwise(pl.col("prompt"))


def as_text() -> pl.Expr:
    """The prompt as one text: a single user turn as it is, anything more as hh-rlhf writes it.

    That is the system message, then `Human: …` and `Assistant: …` with blank lines between, open at the end for the
    reply.
    """
    # Only these two speak here: what is left, the system's text, stands before the dialogue without a name.
    turn = pl.element().struct.field
    speaker = turn("role").replace_strict({"user": "\n\nHuman: ", "assistant": "\n\nAssistant: "}, default="")
    dialogue = pl.col("prompt").list.eval(speaker + turn("content")).list.join("").str.strip_chars_start("\n")
    dialogue = dialogue + pl.lit("\n\nAssistant:")
    alone = (pl.col("prompt").list.len() == 1) & first().struct.field("role").eq_missing("user")
    return pl.when(alone).then(first().struct.field("content")).otherwise(dialogue)


def last_content() -> pl.Expr:
    """The text of the prompt's last turn."""
    return pl.col("prompt").list.last().struct.field("content")


def not_alternating() -> pl.Expr:
    """The reason for prompts whose turns, system message apart, are not user, assistant, …, user."""
    # As one text, since polars looks for no pattern over a list.
    roles = turns().list.eval(pl.element().struct.field("role")).list.join(",")
    ok = roles.str.contains("^(user,assistant,)*user$")
    return pl.when(ok.fill_null(value=False)).then(None).otherwise(pl.lit("turns do not alternate from user to user"))


def not_for_reply() -> pl.Expr:
    """The reason for prompts whose last turn leaves no room for a reply."""
    ok = pl.col("prompt").list.last().struct.field("role").eq_missing("user")
    return pl.when(ok).then(None).otherwise(pl.lit("the last turn is not the user's"))


def no_problem() -> pl.Expr:
    """For formats that hold every pair."""
    return pl.lit(None, dtype=pl.String)


def with_pairs_columns(pairs: pl.LazyFrame) -> pl.LazyFrame:
    """`pairs` with every PAIRS column; raises InputError where one that may not be absent is."""
    known = pairs.collect_schema()
    if not {"prompt_id", "prompt", "chosen", "rejected", "pair_id"} <= set(known):
        check(pairs, PAIRS, "export")
    absent = [pl.lit(None, dtype=c.dtype).alias(n) for n, c in PAIRS.columns.items() if n not in known]
    if known["prompt"] != MESSAGES:
        raise InputError(
            f"export: the column prompt is {known['prompt']} and must be {MESSAGES}; read the file with load_pairs"
        )
    # Arrow would make a dictionary of categories, and knows no integers of 128 bits: both go as texts.
    as_text = (pl.Categorical, pl.Enum, pl.Int128, pl.UInt128)
    casts = [pl.col(name).cast(pl.String) for name, kind in known.items() if kind in as_text]
    return pairs.with_columns(*absent, *casts)


def extra_columns(columns: Iterable[str], fields: Iterable[str]) -> dict[str, str]:
    """The columns of a table that follow a format's own, each with its name there: another where its own is taken."""
    own, known, present = set(fields), set(SCORES.columns), list(columns)
    out = {name: name for name in present if name in known and name not in own and name not in TEXTS}
    used = own | known | RESERVED
    for name in present:
        if name in known:
            continue
        new = name
        # The new name may be one of the user's own, further down the table.
        while new in used or (new != name and new in present):
            new = f"extra_{new}"
        used.add(new)
        out[name] = new
    return out
