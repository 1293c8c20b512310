"""Reading pairs: whatever the layout, one normal form; every row is kept or rejected with a reason."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple, Unpack

import polars as pl

from factory.errors import short
from factory.readers.cells.unfold import content_key
from factory.readers.cells.values import row_json
from factory.readers.columns.extra_columns import extra_columns, fitting, own
from factory.readers.detection import Detected, detect_layouts, no_layout
from factory.readers.how import DECIDING, How, ReadOptions, how_to_read
from factory.readers.inputs.annotated import answered, asked_about
from factory.readers.inputs.opened import Opened, Skipped, UnclearError, alike, naming, told_of
from factory.readers.inputs.sources import PairsLike, open_inputs
from factory.readers.layouts import require_layout
from factory.readers.layouts.base import UNREADABLE, Layout, Parts, Reshaped
from factory.readers.layouts.explicit import OWN
from factory.readers.messages import blank
from factory.readers.names import Columns
from factory.readers.reading import LETTERS, PairsRead, Part, part_of
from factory.readers.table.ids import Identified, pair_ids, prompt_ids, turns_json, with_unique_ids
from factory.readers.table.normal import (
    CHOSEN,
    DETAIL,
    PROMPT,
    REASON,
    REJECTED,
    complete,
    no_rejects,
    normalise,
    rejected_rows,
    source_of,
    unread_rows,
)
from factory.readers.table.stacking import stack
from factory.schema import MESSAGES, PAIRS
from factory.schema import REJECTED as REJECTED_TABLE

_SAMPLE = 100
_TURNS = "__turns"


class _Part(NamedTuple):
    """What one layout makes of one frame."""

    kept: Identified
    rejected: pl.LazyFrame
    told: Part | None = None
    first: pl.DataFrame | None = None
    """The first pair of its first rows, none where these hold none."""


def read_pairs(inputs: PairsLike, source: str | None = None, how: How | None = None) -> PairsRead:
    """Pairs from any number of inputs in any mixture of layouts, in the columns of PAIRS, and how they were read.

    A row's own `pair_id` is kept where it is a text that names that pair alone; otherwise it is the content hash, which
    copies beyond the first hash again with their number: pair_id always names one row. `prompt_id` is the content hash.
    `source` is filled with the argument of that name, or the file's name, where a row has none. The user's other
    columns follow; one whose name the factory needs for something else becomes `given_NAME`. Rejected rows have
    `filter` = read, `reason`, `detail`, `source`, and the row: our own table's in its columns, any other's as JSON in
    the column `row`. Parquet is read only when the frames are collected. Raises InputError, in one sentence, for an
    input that cannot be read or fits no layout, and ConfigError for a layout that there is not.
    """
    how = how or How()
    require_layout(how.layout)
    skipped = Skipped(allowed=how.skip_unreadable)
    parts: list[_Part] = []
    every = open_inputs(inputs, skipped=skipped)
    for opened in every:
        with skipped.passing(opened.where), naming(opened.where):
            parts += list(_read(opened, source if source is not None else opened.stem, how, alike(opened, every)))
    skipped.require(len(parts))
    with naming("the pairs"):
        kept = with_unique_ids([part.kept for part in parts])
        told = [part.told for part in parts if part.told is not None]
        rejected = stack([no_rejects(), *(part.rejected for part in parts)])
        first = next((part.first for part in parts[:1] if part.first is not None and part.first.height), None)
        return PairsRead(stack(kept), rejected, (*told, *skipped.parts()), first)


def load_pairs(inputs: PairsLike, source: str | None = None, **reading: Unpack[ReadOptions]) -> pl.DataFrame:
    """The usable pairs of `read_pairs`, in memory; `reading` says how to read them, as everywhere."""
    how = how_to_read(reading)
    with naming("the pairs"):
        return read_pairs(inputs, source, how).kept.collect()


def _read(opened: Opened, source: str | None, how: How, beside: Sequence[pl.LazyFrame]) -> Iterator[_Part]:
    how = how.beside(opened.named, opened.names, opened.where)
    claims = detect_layouts(opened.frames, how, beside)
    if not any(claim.layout for claim in claims):
        raise no_layout(opened, how)
    asked = asked_about(opened.names) and not DECIDING & {*how.columns}
    for claim in claims:
        if claim.layout is None or (asked and not asked_about(claim.columns)):
            unanswered = "no annotator answered a question about it"
            why = claim.why or (unanswered if asked else _misfit(claim.columns))
            part = _unfit(claim.rows, source, why)
        else:
            with _of_some(claim, alone=len(claims) == 1):
                part = _fit(claim, claim.layout, source, how)
        part = part._replace(told=part.told and told_of(part.told, opened))
        yield _computed(part) if opened.in_memory else part
    if opened.unread.height:
        yield _Part(_no_pairs(), unread_rows(opened.unread, source))


@contextmanager
def _of_some(claim: Detected, *, alone: bool) -> Iterator[None]:
    """Show one of the rows that a question is about, where a file has others of other types."""
    try:
        yield
    except UnclearError as error:
        if alone:
            raise
        schema = own(claim.rows.collect_schema())
        shown = claim.rows.select(row_json(schema).alias("row")).head(1).collect()["row"].to_list()
        raise UnclearError(f"{error}; so in rows such as {short(''.join(shown), LETTERS)}") from error


def _computed(part: _Part) -> _Part:
    """For rows that are in memory anyway: computed once, and not again for each use."""
    kept, rejected = (frame.lazy() for frame in pl.collect_all([part.kept.pairs, part.rejected]))
    return part._replace(kept=Identified(kept, kept), rejected=rejected)


def _fit(claim: Detected, layout: Layout, source: str | None, how: How) -> _Part:
    rows, schema = claim.rows, own(claim.rows.collect_schema())
    shaped = layout.reshape(rows, claim.columns, how) if layout.reshape else Reshaped(rows)
    known = Columns(shaped.rows.collect_schema(), claim.columns.named) if layout.reshape else claim.columns
    columns = own(known)
    parts = complete(layout.parts(known), known)
    told = () if DECIDING & {*how.columns} else answered(parts.columns, known)
    normal = normalise(shaped.rows, parts, known)
    ours = layout is OWN and columns.get("prompt") == MESSAGES
    given = _given_ids(shaped.rows, columns, ours)
    pairs = _pairs(normal.filter(pl.col(REASON).is_null()), columns, parts, given, source)
    ids = shaped.rows.select("pair_id") if given.pair_id else pairs.select("pair_id")
    keys = None if given.some else _keys(claim, parts, pairs)
    bad = normal.filter(pl.col(REASON).is_not_null()).with_columns(source_of(columns, source).alias("source"))
    if ours:
        rest = [name for name in columns if name in PAIRS.columns and fitting(name, columns[name])]
        shown = ["source", *(name for name in rest if name != "source")]
    else:
        bad, shown = bad.with_columns(row_json(schema).alias("row")), ["source", "row"]
    read = part_of(
        layout.name,
        parts.columns,
        claim.columns,
        (*claim.remarks, *told, *shaped.remarks, *_reasoning(normal), *_turned(shaped.rows, known)),
    )
    # The first pair is nearly always among the first rows, and is then known without a pass over the file.
    head = normalise(shaped.rows.head(_SAMPLE), parts, known).filter(pl.col(REASON).is_null())
    first = head.select(
        pl.col(PROMPT).alias("prompt"), pl.col(CHOSEN).alias("chosen"), pl.col(REJECTED).alias("rejected")
    )
    rejected = rejected_rows(bad, pl.col(REASON), pl.col(DETAIL), shown)
    return _Part(Identified(pairs, ids, keys), rejected, read, first.head(1).collect(engine="streaming"))


def _keys(claim: Detected, parts: Parts, pairs: pl.LazyFrame) -> pl.LazyFrame:
    """A number for each pair: from the look at the file's texts, where those are the replies themselves."""
    # Where a layout takes both columns as they are, their texts have been hashed already, and need not be read again.
    names = (*parts.columns.get("chosen", ()), *parts.columns.get("rejected", ()))
    whole = len(names) == 2 and parts.chosen.meta == pl.col(names[0]) and parts.rejected.meta == pl.col(names[1])
    if claim.keys is None or not whole:
        return pairs.select(content_key("chosen", "rejected"))
    return claim.keys.drop_nulls().to_frame().lazy()


def _reasoning(normal: pl.LazyFrame) -> tuple[str, ...]:
    """A remark where replies begin with their reasoning, by the first rows."""
    begins = (pl.col(name).str.contains(r"^\s*<think>").sum() for name in (CHOSEN, REJECTED))
    chosen, rejected = normal.select(CHOSEN, REJECTED).head(_SAMPLE).select(*begins).collect(engine="streaming").row(0)
    if not (chosen or rejected):
        return ()
    return (f"reasoning stands as <think>…</think> before {chosen} chosen and {rejected} rejected of the first rows",)


def _turned(rows: pl.LazyFrame, columns: Columns) -> tuple[str, ...]:
    """A remark where the file's own scores speak for the rejected reply in most of the first rows."""
    ways = ("score_{}", "{}_score", "rating_{}", "{}_rating", "{}-rating", "{}_avg_rating", "reward_{}", "{}_reward")
    both = ((way.format("chosen"), way.format("rejected")) for way in ways)
    names = next((two for two in both if all(name in columns and not columns[name].is_nested() for name in two)), None)
    if names is None:
        return ()
    one, other = (pl.col(name).cast(pl.Float64, strict=False) for name in names)
    less, same, known = (
        rows.head(_SAMPLE)
        .select((one < other).sum(), (one == other).sum().alias("same"), (one - other).count().alias("n"))
        .collect(engine="streaming")
        .row(0)
    )
    of = f"of the first {known} rows, though chosen is to be the better reply"
    below = (f"{' is below '.join(names)} in {less} {of}",) if less * 2 > known else ()
    return (*below, f"{' is the same as '.join(names)} in {same} {of}") if same else below


def _misfit(columns: Columns) -> str:
    return f"no layout fits its columns, {', '.join(list(own(columns))[:20])}"


def _unfit(rows: pl.LazyFrame, source: str | None, why: str) -> _Part:
    columns = own(rows.collect_schema())
    bad = rows.with_columns(source_of(columns, source).alias("source"), row_json(columns).alias("row"))
    return _Part(_no_pairs(), rejected_rows(bad, pl.lit(UNREADABLE), pl.lit(why), ["source", "row"]))


def _no_pairs() -> Identified:
    empty = PAIRS.empty().lazy()
    return Identified(empty, empty, empty.select(pl.col("pair_id").hash()))


class _Given(NamedTuple):
    """Which ids of the file are taken as they are."""

    pair_id: bool
    """Every row has one."""
    some: bool
    """Rows may have one; those that have none get the content hash."""
    prompt_id: bool


def _given_ids(rows: pl.LazyFrame, columns: pl.Schema, own: bool) -> _Given:
    """A file's pair_ids are taken where they are texts; its prompt_ids only where they prove to be content hashes."""
    if columns.get("pair_id") != pl.String:
        return _Given(pair_id=False, some=False, prompt_id=False)
    # One look at the column alone: where every row has an id, no content needs to be hashed.
    absent = bool(rows.select(blank(pl.col("pair_id")).any()).collect(engine="streaming").item())
    if absent or not own or columns.get("prompt_id") != pl.String:
        return _Given(pair_id=not absent, some=True, prompt_id=False)
    # A sample, since to hash every prompt is what taking the ids over spares.
    sample = rows.head(_SAMPLE).select("prompt_id", prompt_ids(turns_json(pl.col("prompt"))).alias("made")).collect()
    return _Given(pair_id=True, some=True, prompt_id=sample["prompt_id"].eq_missing(sample["made"]).all())


def _pairs(normal: pl.LazyFrame, columns: pl.Schema, parts: Parts, given: _Given, source: str | None) -> pl.LazyFrame:
    """The factory's columns, then the user's others."""
    # A column, so that both ids are hashes of one text, which is written out once.
    normal = normal.with_columns(turns_json(pl.col(PROMPT)).alias(_TURNS))
    pair_id = pair_ids(pl.col(_TURNS), pl.col(CHOSEN), pl.col(REJECTED))
    if given.some:
        own = pl.col("pair_id")
        pair_id = own if given.pair_id else pl.when(blank(own)).then(pair_id).otherwise(own)
    made = {
        "pair_id": pair_id,
        "prompt_id": pl.col("prompt_id") if given.prompt_id else prompt_ids(pl.col(_TURNS)),
        "prompt": pl.col(PROMPT),
        "chosen": pl.col(CHOSEN),
        "rejected": pl.col(REJECTED),
        "source": source_of(columns, source),
    }
    spent = parts.used | ({"pair_id"} if given.some else set()) | ({"prompt_id"} if given.prompt_id else set())
    table = {name: made.get(name, pl.lit(None, dtype=dtype)) for name, dtype in PAIRS.dtypes.items()}
    return normal.select(
        **(table | extra_columns(columns, spent, made.keys() | REJECTED_TABLE.columns.keys() | {"row"}))
    )
