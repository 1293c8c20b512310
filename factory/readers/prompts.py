"""Reading prompts from whatever holds them: prompt files, chat data, pair files, lines of text."""

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import polars as pl

from factory.errors import InputError
from factory.readers.cells.objects import is_object, turns_within
from factory.readers.cells.values import row_json
from factory.readers.columns.asked import FoundPrompt, asked, beside_text, system_in, under
from factory.readers.columns.extra_columns import KNOWN, extra_columns, own
from factory.readers.columns.verdicts import FLAGS
from factory.readers.detection import Detected, detect_layouts
from factory.readers.how import How, how_to_read
from factory.readers.inputs.opened import Opened, columns_of, naming, told_of
from factory.readers.inputs.sources import PairsLike, open_inputs
from factory.readers.layouts.base import UNREADABLE, Layout
from factory.readers.layouts.trees import NEEDED
from factory.readers.messages import before_last, is_messages, is_text, no_turns, plain, problem_of, said, turns_of
from factory.readers.names import Columns, plainly
from factory.readers.reading import OWN_COLUMNS, Part, PromptsRead, part_of
from factory.readers.table.ids import prompt_ids, turns_json
from factory.readers.table.normal import (
    DETAIL,
    EMPTY_PROMPT,
    PROMPT,
    REASON,
    REPLY_REASONS,
    RejectCase,
    complete,
    no_rejects,
    normalise,
    prompt_cases,
    rejected_rows,
    source_of,
    unread_rows,
    verdict,
    without_blank_system,
)
from factory.readers.table.stacking import stack
from factory.schema import FEATURES, MESSAGES, PROMPTS, REJECTED

RUN_TABLE = "prompts.parquet"
DUPLICATE, NOT_A_ROOT = "duplicate_prompt", "not_a_root"
_CALLED = re.compile("prompt|question|instruction", re.IGNORECASE)
"""What is in the name of a file whose texts are prompts though the column is called text, as in Vicuna's questions."""
_LAST = ("question_text", "goal", "user")
"""Columns of texts that are prompts where no other column is; `user` beside what the assistant says."""
_TAKEN = frozenset({*KNOWN, *PROMPTS.columns, *FEATURES.columns, *REJECTED.columns, "row"})
"""Names that columns of the user's may not have beside a prompt: the line fills them in."""


class _Part(NamedTuple):
    """What is made of one claim."""

    kept: pl.DataFrame
    rejected: pl.DataFrame
    told: Part | None = None


def read_prompts(inputs: PairsLike, columns: Mapping[str, str] | None = None) -> PromptsRead:
    """Prompts from any number of inputs: the columns prompt_id, prompt and source of PROMPTS, then the user's others.

    Looked for row by row, by the names of `factory.readers.names`: `prompt`, conversations, questions with their input
    or context, `turns` (its first), a request's `body`, the roots of trees of messages; system messages go before.
    `columns` are roles and the columns that have them, where their names do not say so. Of a conversation that ends
    with a reply, as in training data, that reply is left out. Pair files give the prompts of their pairs. Rejected rows
    have `filter` = read, a reason (empty_prompt, bad_roles, tool_turns, not_text, unreadable, prompts_differ,
    not_a_root, duplicate_prompt) and the row as JSON; of equal prompts one is kept. Raises InputError for an input that
    cannot be read or has no column with prompts, ConfigError for a role that there is not.
    """
    how = how_to_read({"columns": columns})
    parts: list[_Part] = []
    for opened in open_inputs(inputs, table=RUN_TABLE):
        with naming(opened.where):
            parts += _read(opened, how)
    with naming("the prompts"):
        every = stack([part.kept.lazy() for part in parts]).collect()
        # Equal prompts may stand in any two files, so that all are in memory at once.
        first = every["prompt_id"].is_first_distinct()
        again = rejected_rows(every.filter(~first).lazy(), pl.lit(DUPLICATE), pl.lit(None), every.columns)
        rejected = stack([no_rejects(), *(part.rejected.lazy() for part in parts), again]).collect()
        told = tuple(part.told for part in parts if part.told is not None)
        return PromptsRead(_without_echo(every.filter(first)), rejected, told)


def _without_echo(prompts: pl.DataFrame) -> pl.DataFrame:
    """Drop the file's own prompt_id where it is the content hash anyway, as in a table of ours."""
    given = "given_prompt_id"
    same = prompts.schema.get(given) == pl.String and (prompts[given] == prompts["prompt_id"]).all()
    return prompts.drop(given) if same else prompts


def _read(opened: Opened, how: How) -> Iterator[_Part]:
    how = how.beside(opened.named, opened.names, opened.where)
    claims = detect_layouts(opened.frames, how)
    if not any(claim.layout or _asked(claim.columns) for claim in claims):
        if "text" in opened.names and "prompt" not in how.columns and _CALLED.search(opened.stem or ""):
            yield from _read(opened, how._replace(columns={**how.columns, "prompt": "text"}))
            return
        wanted = "prompt, instruction, question, query, messages, conversations or turns"
        raise InputError(
            f"{opened.where}: no column holds prompts; it has {columns_of(opened)}, and needs {wanted}, "
            "or a column named with --columns prompt=…"
        )
    for claim in claims:
        layout = claim.layout
        # A layout that reshapes has a row per pair, and a prompt would come again with each: its columns are read.
        apart = _asked(claim.columns) is not None and not {*FLAGS} <= {*claim.columns}  # there, prompts are lists too
        whole = layout is not None and not (layout.reshape and apart)
        yield _from_pairs(claim, layout, opened) if layout and whole else _from_columns(claim, opened)
    if opened.unread.height:
        yield _Part(PROMPTS.empty().drop("portion"), unread_rows(opened.unread, opened.stem).collect())


def _from_pairs(claim: Detected, layout: Layout, opened: Opened) -> _Part:
    rows, columns = claim.rows, claim.columns
    remarks = claim.remarks
    if layout.reshape:
        rows, more = layout.reshape(rows, columns, How())
        columns, remarks = Columns(rows.collect_schema(), columns.named), (*remarks, *more)
    parts = complete(layout.parts(columns), columns)
    normal = normalise(rows, parts, columns)
    found = pl.col(REASON)
    bad = RejectCase(found.is_not_null() & ~found.is_in(REPLY_REASONS), found, pl.col(DETAIL))
    judged = normal.with_columns(verdict(bad, *prompt_cases(pl.col(PROMPT), pl.lit(None, dtype=pl.String))))
    made = _split(judged, claim.rows.collect_schema(), {}, opened.stem)
    return _told(made, layout.name, parts.columns, claim._replace(remarks=remarks), opened)


def _told(made: _Part, layout: str, columns: Mapping[str, tuple[str, ...]], claim: Detected, opened: Opened) -> _Part:
    """With how it was read: what the prompt and its system message are made of, and all that is left aside."""
    used = {role: columns.get(role, ()) for role in ("prompt", "system")}
    told = part_of(layout, used, claim.columns, claim.remarks, "prompt")
    return made._replace(told=told_of(told, opened))


def _from_columns(claim: Detected, opened: Opened) -> _Part:
    rows, columns = claim.rows, claim.columns
    schema = rows.collect_schema()
    found = None if claim.why else _asked(columns)
    system = None if found is None or found.columns.get("system") else system_in(columns)
    if found is not None and system is not None:
        found = found._replace(turns=under(system, columns, found.turns), columns=found.columns | {"system": (system,)})
    if found is None:
        told = claim.why or f"none of its columns holds a prompt: {', '.join(columns)}"
        why = RejectCase(pl.lit(value=True), UNREADABLE, told)
        named = [name for role in ("prompt", "conversation") for name in columns.having(role)]
        if not claim.why and any(columns[name] in (pl.Null, pl.List(pl.Null)) for name in named):
            why = RejectCase(pl.lit(value=True), EMPTY_PROMPT, f"the column {named[0]} is empty")
        nothing = rows.with_columns(pl.lit([], dtype=MESSAGES).alias(PROMPT), *verdict(why))
        return _split(nothing, schema, {}, opened.stem)
    # A column between the steps: each names its turns several times, and in one expression they would multiply.
    rows = rows.with_columns(found.turns.fill_null(no_turns()).alias(PROMPT))
    for step in (_unanswered, without_blank_system):
        rows = rows.with_columns(step(pl.col(PROMPT)).alias(PROMPT))
    beside = [RejectCase(why.is_not_null(), reason, why) for reason, why in beside_text(columns)]
    if {*NEEDED} <= {*columns} and found.columns["prompt"] == ("text",):
        beside.append(RejectCase(pl.col("parent_id").is_not_null(), NOT_A_ROOT, "it answers another message"))
    judged = rows.with_columns(verdict(*beside, *prompt_cases(pl.col(PROMPT), problem_of(pl.col(PROMPT)))))
    extra = extra_columns(own(columns), {name for names in found.columns.values() for name in names}, _TAKEN)
    made = _split(judged.with_columns(plain(pl.col(PROMPT)).alias(PROMPT)), schema, extra, opened.stem)
    return _told(made, OWN_COLUMNS, found.columns, claim, opened)


def _asked(columns: Columns) -> FoundPrompt | None:
    """Where prompts are: as in pairs, else the first of a list of turns."""
    found = asked(columns)
    turns = columns.first("turns")
    text = "text" if {*NEEDED} <= {*columns} else None if turns else _last(columns)
    if found is None and text is not None:
        return FoundPrompt(said("user", pl.col(text)), {"prompt": (text,)}, None, False, pl.lit(value=True))
    dtype = None if turns is None else columns[turns]
    if turns is None or not (is_messages(dtype) or is_object(dtype) or dtype == pl.List(pl.String)):
        return found
    if dtype == pl.List(pl.String):
        first = said("user", pl.col(turns).list.first())
    else:
        first = turns_of(turns, columns[turns]) if is_messages(dtype) else turns_within(turns, columns[turns])
    if found is None:
        return FoundPrompt(first, {"prompt": (turns,)}, None, spoken=False, given=pl.col(turns).is_not_null())
    used = found.columns | {"prompt": (*found.columns["prompt"], turns)}
    return found._replace(turns=pl.coalesce(found.turns, first), columns=used)


def _last(columns: Columns) -> str | None:
    there = (name for name in columns if plainly(name) in _LAST and is_text(columns[name]))
    return next((name for name in there if name != "user" or "assistant" in columns), None)


def _unanswered(turns: pl.Expr) -> pl.Expr:
    """A conversation without the reply at its end."""
    answered = turns.list.last().struct.field("role").eq_missing("assistant")
    return pl.when(answered).then(before_last(turns)).otherwise(turns)


def _split(judged: pl.LazyFrame, columns: pl.Schema, extra: Mapping[str, pl.Expr], stem: str | None) -> _Part:
    source = source_of(columns, stem).alias("source")
    good = judged.filter(pl.col(REASON).is_null())
    ids = prompt_ids(turns_json(pl.col(PROMPT)))
    kept = good.select(ids.alias("prompt_id"), pl.col(PROMPT).alias("prompt"), source, **extra)
    bad = judged.filter(pl.col(REASON).is_not_null()).select(
        REASON, DETAIL, source, row_json(own(columns)).alias("row")
    )
    rejected = rejected_rows(bad, pl.col(REASON), pl.col(DETAIL), ["source", "row"])
    made, aside = pl.collect_all([kept, rejected])
    return _Part(made, aside)
