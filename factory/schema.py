"""Every table of the factory: column names, types and meaning, and the check made at each stage border."""

from collections.abc import Mapping
from typing import NamedTuple

import polars as pl

from factory.errors import InputError

MESSAGE = pl.Struct({"role": pl.String, "content": pl.String})
MESSAGES = pl.List(MESSAGE)

VIEWS = ("plain", "good", "bad")
REPLIES = ("chosen", "rejected", "original")


class Column(NamedTuple):
    """One column: its type, what it means, and whether a null is allowed."""

    dtype: pl.DataType
    meaning: str
    nullable: bool = True


class Table(NamedTuple):
    """A named set of columns. Tables may carry further columns of the user's; they survive to the end."""

    name: str
    columns: Mapping[str, Column]

    @property
    def dtypes(self) -> dict[str, pl.DataType]:
        """Column name to polars type, in the table's order."""
        return {name: column.dtype for name, column in self.columns.items()}

    def empty(self) -> pl.DataFrame:
        """The table without a row."""
        return pl.DataFrame(schema=self.dtypes)


def logp_column(reply: str, view: str) -> str:
    """Name of the column that holds pi~ of `reply` under `view` (eq. 4)."""
    return f"logp_{reply}_{view}"


_TEXT, _INT, _FLOAT = pl.String(), pl.Int64(), pl.Float64()

_PROMPT: dict[str, Column] = {
    "prompt_id": Column(_TEXT, "128-bit content hash of the prompt", nullable=False),
    "prompt": Column(MESSAGES, "the conversation up to the reply", nullable=False),
}
_ORIGIN: dict[str, Column] = {
    "source": Column(_TEXT, "where the prompt or pair is from"),
    "method": Column(_TEXT, "how the pair was made, such as sso or pbaa"),
    "policy": Column(_TEXT, "the model that wrote the replies"),
    "iteration": Column(_INT, "the iteration that made the pair, from 1"),
}
_FEATURE: dict[str, Column] = {
    "feature": Column(_TEXT, "the feature whose principles were used"),
    "feature_source": Column(
        _TEXT,
        "allocated: the policy named it; drawn: by the set's probability, or with nothing to ask; fallback: by chance, "
        "since its answer named none",
    ),
    "principle_source": Column(_TEXT, "set: from the principle set; generated: written by the policy for this prompt"),
}
_CONTRAST: dict[str, Column] = {
    "system_good": Column(_TEXT, "system message of the chosen reply, x+"),
    "system_bad": Column(_TEXT, "system message of the rejected reply, x-"),
}

PROMPTS = Table(
    "prompts",
    {
        **_PROMPT,
        "source": _ORIGIN["source"],
        "portion": Column(_INT, "the iteration or further round this prompt is for, from 1", nullable=False),
    },
)
FEATURES = Table(
    "features",
    {
        "prompt_id": _PROMPT["prompt_id"],
        **{name: _FEATURE[name] for name in ("feature", "feature_source")},
        "allocated": Column(pl.List(pl.String()), "the features the policy named, in its order"),
        "raw": Column(_TEXT, "the policy's answer as it came"),
        "error": Column(_TEXT, "why there is no answer"),
    },
)
CONTRAST = Table(
    "contrast",
    {
        "prompt_id": _PROMPT["prompt_id"],
        **_FEATURE,
        **_CONTRAST,
        "adjective_good": Column(_TEXT, "what a reply under the good principle is called, such as Engaging"),
        "adjective_bad": Column(_TEXT, "what a reply under the bad principle is called, such as Dull"),
    },
)
PAIRS = Table(
    "pairs",
    {
        "pair_id": Column(_TEXT, "128-bit content hash of prompt, chosen and rejected", nullable=False),
        **_PROMPT,
        "chosen": Column(_TEXT, "the preferred reply, y+", nullable=False),
        "rejected": Column(_TEXT, "the other reply, y-", nullable=False),
        "original": Column(_TEXT, "the reply to the prompt without a principle, y°"),
        **_FEATURE,
        **_CONTRAST,
        **_ORIGIN,
        **{f"finish_{reply}": Column(_TEXT, f"how the {reply} reply ended: stop or length") for reply in REPLIES},
        **{f"tokens_{reply}": Column(_INT, f"length of the {reply} reply, tokens") for reply in REPLIES},
    },
)
LOGPS: dict[str, Column] = {
    logp_column(reply, view): Column(
        _FLOAT, f"mean log-probability per token of the {reply} reply, {view} view (eq. 4)"
    )
    for reply in REPLIES
    for view in VIEWS
}
SCORES = Table("scores", {**PAIRS.columns, **LOGPS})
JUDGMENTS = Table(
    "judgments",
    {
        "pair_id": PAIRS.columns["pair_id"],
        "judge": Column(_TEXT, "the judge's name", nullable=False),
        "order": Column(_TEXT, "which reply was shown first: chosen_first or rejected_first", nullable=False),
        "vote": Column(_TEXT, "chosen, rejected, or null where the answer could not be read"),
        "p_chosen": Column(_FLOAT, "probability the judge gave to chosen, from its identifier log-probabilities"),
        "raw": Column(_TEXT, "the judge's answer as it came"),
        "prompt_tokens": Column(_INT, "tokens sent, retries included"),
        "completion_tokens": Column(_INT, "tokens received, retries included"),
        "cost": Column(_FLOAT, "money spent, in the currency of the configured prices"),
        "error": Column(_TEXT, "why there is no answer"),
        "tries": Column(_INT, "how often it was asked, retries included"),
    },
)
REJECTED = Table(
    "rejected",
    {
        "filter": Column(_TEXT, "the stage or filter that rejected the row", nullable=False),
        "reason": Column(_TEXT, "a short reason token", nullable=False),
        "detail": Column(_TEXT, "what exactly, where a token is not enough"),
    },
)

REASONS: Mapping[str, Mapping[str, str]] = {
    "read": {
        "unreadable": "the row cannot be read as a pair or a prompt; the detail says why",
        "prompts_differ": "chosen and rejected answer different turns",
        "empty_prompt": "there is no turn before the reply, or the last one is empty",
        "empty_chosen": "the chosen reply is missing or empty",
        "empty_rejected": "the rejected reply is missing or empty",
        "identical": "chosen and rejected say the same",
        "bad_roles": "the turns are not a system message at most, then user, assistant, and so on in turn",
        "tool_turns": "a turn calls a tool or is by one",
        "not_text": "a turn holds no text, or something beside text",
        "tie": "what says which reply is better says that neither is",
        "alone": "no other reply to its prompt is better or worse",
        "not_a_root": "the message answers another one, and only the first of a tree is a prompt",
    },
    "prompts": {
        "over_limit": "beyond prompts.limit, by a seeded draw",
        "too_long": "too long for the model's context; the detail is its length in tokens",
    },
    "triples": {
        "failed": "a request failed; the detail is what the engine said",
        "empty_chosen": "the chosen reply is empty",
        "empty_rejected": "the rejected reply is empty",
        "empty_original": "the original reply is empty",
        "equal_replies": "two of the three replies are the same but for spacing",
        "leak": "chosen or rejected calls itself what it was told to be",
        "same_pair": "an earlier sample of the prompt gave this very pair",
        "undecided": "no candidate of best_of_n stands above another",
    },
}
"""Every token that reading and the stages of the line can give; a filter's own stand beside it, in its `reasons`."""

ORDERS = ("chosen_first", "rejected_first")


class Split(NamedTuple):
    """What a stage, reader or filter makes of its input: every row is in one of the two."""

    kept: pl.DataFrame
    rejected: pl.DataFrame = pl.DataFrame()
    """The row as it came, with the REJECTED columns."""


class LazySplit(NamedTuple):
    """A Split that has not been computed, for tables larger than memory."""

    kept: pl.LazyFrame
    rejected: pl.LazyFrame


def check(frame: pl.DataFrame | pl.LazyFrame, table: Table, where: str = "") -> None:
    """Raise InputError unless `frame` has the columns of `table`, typed so, and (if in memory) no forbidden null."""
    schema = frame.collect_schema()
    place = where or table.name
    for name, column in table.columns.items():
        if name not in schema:
            raise InputError(f"{place}: the column {name} is missing; it must hold {column.meaning}")
        if schema[name] != column.dtype:
            raise InputError(f"{place}: the column {name} is {schema[name]} and must be {column.dtype}")
        # Of a lazy table the schema is free, and nulls would take a read of all of it.
        if isinstance(frame, pl.DataFrame) and not column.nullable and frame[name].null_count():
            raise InputError(f"{place}: the column {name} has {frame[name].null_count()} empty cells and may have none")


def conform(frame: pl.DataFrame, table: Table) -> pl.DataFrame:
    """`frame` with the table's columns first, in order; absent nullable ones become null, foreign ones follow."""
    missing = [pl.lit(None, dtype=c.dtype).alias(n) for n, c in table.columns.items() if n not in frame.columns]
    # Cast as well: a column that is all null was read as type Null, which no later concat would take.
    filled = frame.with_columns(missing)
    known = [pl.col(name).cast(column.dtype) for name, column in table.columns.items()]
    return filled.select(*known, *(name for name in frame.columns if name not in table.columns))
