"""Reading prompts from whatever holds them: prompt files, chat data, pair files, lines of text."""

from collections.abc import Iterator, Mapping, Sequence

import polars as pl

from factory.errors import InputError
from factory.readers.claims import claimed
from factory.readers.followers import KNOWN, followers
from factory.readers.ids import prompt_ids
from factory.readers.layouts.alpaca import question
from factory.readers.layouts.base import Columns, Layout
from factory.readers.messages import TURNS, is_messages, is_text, plain, problem_of, said, turns_of, under_system
from factory.readers.normal import (
    DETAIL,
    PROMPT,
    REASON,
    REPLY_REASONS,
    UNREADABLE,
    Verdict,
    normalise,
    prompt_cases,
    verdict,
)
from factory.readers.opened import Opened, columns_of, naming
from factory.readers.rejects import no_rejects, rejected_rows, source_of, unread_rows
from factory.readers.sources import PairsLike, open_inputs
from factory.readers.stacking import row_json, stack
from factory.readers.transcripts import asked, is_transcript
from factory.schema import FEATURES, MESSAGES, PROMPTS, REJECTED, Split

RUN_TABLE = "prompts.parquet"
DUPLICATE = "duplicate_prompt"
_TAKEN = frozenset({*KNOWN, *PROMPTS.columns, *FEATURES.columns, *REJECTED.columns, "row"})
"""Names that columns of the user's may not have beside a prompt: the line fills them in."""


def read_prompts(inputs: PairsLike | Sequence[PairsLike]) -> Split:
    """Prompts from any number of inputs: the columns prompt_id, prompt and source of PROMPTS, then the user's others.

    Looked for in this order, row by row: `prompt` (text or messages), `messages`, `conversations`, `instruction` with
    `input`, `question`, `turns` (its first); a text in `system` goes before them. Of a conversation that ends with a
    reply, as in training data, that reply is left out. Pair files give the prompts of their pairs. Rejected rows have
    `filter` = read, a reason (empty_prompt, bad_roles, tool_turns, not_text, unreadable, prompts_differ,
    duplicate_prompt) and the row as JSON; of equal prompts one is kept. Raises InputError for an input that cannot be
    read or has no column with prompts.
    """
    kept: list[pl.LazyFrame] = []
    rejected: list[pl.LazyFrame] = [no_rejects()]
    for opened in open_inputs(inputs, table=RUN_TABLE):
        with naming(opened.where):
            for part in _read(opened):
                kept.append(part.kept.lazy())
                rejected.append(part.rejected.lazy())
    with naming("the prompts"):
        every = stack(kept).collect()
        first = every["prompt_id"].is_first_distinct()
        again = rejected_rows(every.filter(~first).lazy(), pl.lit(DUPLICATE), pl.lit(None), every.columns)
        return Split(_without_echo(every.filter(first)), stack([*rejected, again]).collect())


def _without_echo(prompts: pl.DataFrame) -> pl.DataFrame:
    """Drop the file's own prompt_id where it is the content hash anyway, as in a table of ours."""
    given = "given_prompt_id"
    return prompts.drop(given) if given in prompts and (prompts[given] == prompts["prompt_id"]).all() else prompts


def _read(opened: Opened) -> Iterator[Split]:
    claims = [claim for frame in opened.frames for claim in claimed(frame)]
    if not any(claim.layout or _candidates(claim.rows.collect_schema()) for claim in claims):
        wanted = "prompt, instruction, question, messages, conversations or turns"
        raise InputError(f"{opened.where}: no column holds prompts; it has {columns_of(opened)}, and needs {wanted}")
    for claim in claims:
        yield _from_pairs(claim.rows, claim.layout, opened) if claim.layout else _from_columns(claim.rows, opened)
    if opened.unread.height:
        yield Split(_no_prompts(), unread_rows(opened.unread, opened.stem).collect())


def _no_prompts() -> pl.DataFrame:
    return PROMPTS.empty().drop("portion")


def _from_pairs(rows: pl.LazyFrame, layout: Layout, opened: Opened) -> Split:
    columns = rows.collect_schema()
    normal = normalise(rows, layout.parts(columns))
    found = pl.col(REASON)
    bad = Verdict(found.is_not_null() & ~found.is_in(REPLY_REASONS), found, pl.col(DETAIL))
    judged = normal.with_columns(verdict(bad, *prompt_cases(pl.col(PROMPT), pl.lit(None, dtype=pl.String))))
    return _split(judged, columns, {}, opened.stem)


def _from_columns(rows: pl.LazyFrame, opened: Opened) -> Split:
    columns = rows.collect_schema()
    candidates = _candidates(columns)
    if not candidates:
        why = Verdict(pl.lit(value=True), UNREADABLE, f"none of its columns holds a prompt: {', '.join(columns)}")
        return _split(
            rows.with_columns(pl.lit([], dtype=MESSAGES).alias(PROMPT), *verdict(why)), columns, {}, opened.stem
        )
    empty = pl.lit([], dtype=TURNS)
    found = pl.coalesce(*(candidates[name] for name in candidates), empty)
    rows = rows.with_columns(under_system(columns, _unanswered(found)).alias(PROMPT))
    judged = rows.with_columns(verdict(*prompt_cases(pl.col(PROMPT), problem_of(pl.col(PROMPT)))))
    spent = {*candidates, *(["system"] if is_text(columns.get("system")) else [])}
    if "instruction" in candidates and is_text(columns.get("input")):
        spent.add("input")
    extra = followers(columns, spent, _TAKEN)
    return _split(judged.with_columns(plain(pl.col(PROMPT)).alias(PROMPT)), columns, extra, opened.stem)


def _candidates(columns: Columns) -> dict[str, pl.Expr]:
    """The columns that may hold a prompt, as TURNS that are null where the row has none, the first to ask first."""
    found: dict[str, pl.Expr] = {}
    for name in ("prompt", "messages", "conversations", "instruction", "question", "turns"):
        dtype = columns.get(name)
        if dtype is not None and is_messages(dtype):
            found[name] = turns_of(name, dtype)
        elif is_text(dtype):
            text = question(columns) if name == "instruction" else pl.col(name)
            found[name] = pl.when(is_transcript(text)).then(asked(text)).otherwise(said("user", text))
        elif name == "turns" and dtype == pl.List(pl.String):
            found[name] = said("user", pl.col(name).list.first())
    return found


def _unanswered(turns: pl.Expr) -> pl.Expr:
    """A conversation without the reply at its end."""
    answered = turns.list.last().struct.field("role").eq_missing("assistant")
    return pl.when(answered).then(turns.list.slice(0, turns.list.len() - 1)).otherwise(turns)


def _split(judged: pl.LazyFrame, columns: pl.Schema, extra: Mapping[str, pl.Expr], stem: str | None) -> Split:
    source = source_of(columns, stem).alias("source")
    good = judged.filter(pl.col(REASON).is_null())
    kept = good.select(prompt_ids(pl.col(PROMPT)).alias("prompt_id"), pl.col(PROMPT).alias("prompt"), source, **extra)
    bad = judged.filter(pl.col(REASON).is_not_null()).select(REASON, DETAIL, source, row_json(columns).alias("row"))
    rejected = rejected_rows(bad, pl.col(REASON), pl.col(DETAIL), ["source", "row"])
    return Split(*pl.collect_all([kept, rejected]))
