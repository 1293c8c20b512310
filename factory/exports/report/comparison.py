"""Two runs side by side: what each kept, how good that is, and which pairs only one of them has."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import polars as pl
from pydantic import Field

from factory.exports.facts import FunnelStep, Lengths, height, scan
from factory.exports.facts.models import RunFacts
from factory.exports.facts.opinions import OpinionPair, opinion_pairs
from factory.exports.facts.public import public_name
from factory.exports.facts.recipe import made_from
from factory.exports.facts.run import run_facts
from factory.schema import MESSAGES
from factory.strict import Strict

SHOWN = 50
"""Pairs of one run alone that are told with their texts."""
_ALONE = 0.5
"""Share of prompts in common below which numbers of two runs are not of the same thing."""
_NO_MATTER = {"run.dir", "run.max_cost"}
"""Keys that change no pair."""


class ComparedRun(Strict):
    """One of the two runs."""

    name: str
    made: int | None
    """Pairs that reached the filters."""
    kept: int | None
    prompts: int | None
    """Prompts of the run."""
    lengths: Lengths | None
    """Of the kept pairs."""
    tokens: int
    """Sent and received, in all."""
    cost: float | None
    seconds: float


class StepPair(Strict):
    """A filter in both funnels; None where a run has no such step."""

    filter: str
    first: FunnelStep | None
    second: FunnelStep | None


class LonePair(Strict):
    """A pair that one run kept and the other did not."""

    pair_id: str
    prompt: str
    """Its last turn."""
    chosen: str
    rejected: str
    feature: str | None = None
    iteration: int | None = None
    there: str
    """What became of it in the other run."""


class KeptPairs(Strict):
    """Which kept pairs, and which prompts with a kept pair, both runs have, and which only one."""

    both: int
    only_first: list[str]
    """Their pair_ids, in order."""
    only_second: list[str]
    prompts_both: int
    prompts_only_first: int
    prompts_only_second: int
    first: list[LonePair]
    """Some of those that only the first kept, those first that the other one made too."""
    second: list[LonePair]


class Setting(Strict):
    """A key of the configuration that differs."""

    key: str
    first: Any
    second: Any


class Comparison(Strict):
    """Two runs side by side."""

    report: str | None = None
    """Where the page lies, once it is written."""
    comparable: bool
    """Whether numbers of one may be held against those of the other."""
    notes: list[str] = Field(default_factory=list)
    """Why they may not, or what must be borne in mind, a sentence each."""
    first: ComparedRun
    second: ComparedRun
    funnel: list[StepPair]
    agreement: list[OpinionPair]
    pairs: KeptPairs | None
    settings: list[Setting]


def compare(first: Path, second: Path) -> Comparison:
    """What two run folders have in common and what sets them apart; neither needs to be finished."""
    one, two = run_facts(first), run_facts(second)
    opinions = opinion_pairs(one, two)
    apart, partly = _common(first, second)
    settings = list(_settings(one.config | _beside(first), two.config | _beside(second)))
    return Comparison(
        comparable=not apart,
        notes=[*apart, *partly, *_in_mind(opinions, one, two)],
        first=_side(one, first),
        second=_side(two, second),
        funnel=_funnel(one, two),
        agreement=opinions,
        pairs=_kept_pairs(first, second),
        settings=settings,
    )


def _side(run: RunFacts, root: Path) -> ComparedRun:
    total = run.bill.total
    return ComparedRun(
        name=run.name,
        made=run.funnel.input if run.funnel else None,
        kept=run.funnel.kept if run.funnel else None,
        prompts=height(scan(root / "prompts.parquet")),
        lengths=run.kept_lengths,
        tokens=total.tokens,
        cost=total.cost,
        seconds=sum(run.seconds.values()),
    )


def _funnel(one: RunFacts, two: RunFacts) -> list[StepPair]:
    """The steps of both, in the first one's order; those of the second alone follow."""
    steps = [run.funnel.steps if run.funnel else [] for run in (one, two)]
    sides = [dict(zip(_numbered(step.filter for step in each), each, strict=True)) for each in steps]
    names = list(dict.fromkeys([*sides[0], *sides[1]]))
    return [StepPair(filter=name, first=sides[0].get(name), second=sides[1].get(name)) for name in names]


def _numbered(names: Iterable[str]) -> Iterator[str]:
    """The names, one that comes again with its number: a filter may be used twice."""
    seen = Counter[str]()
    for name in names:
        seen[name] += 1
        yield f"{name} {seen[name]}" if seen[name] > 1 else name


def _common(first: Path, second: Path) -> tuple[list[str], list[str]]:
    """Why the two are not comparable, and what is to be said of prompts that one of them lacks."""
    ids = [found for root in (first, second) if (found := _prompt_ids(root)) is not None]
    if len(ids) < 2:
        return ["Not comparable: at least one of them has no prompts to tell it by"], []
    shared, sizes = int(ids[0].is_in(ids[1].implode()).sum()), [len(one) for one in ids]
    if shared == max(sizes):
        return [], []
    some = f"share {shared:,} prompts, of {sizes[0]:,} and {sizes[1]:,}" if shared else "have no prompt in common"
    # Of the same files two runs may take different prompts, as target_pairs does, and still be alike.
    if shared < _ALONE * max(sizes) and _drawn_from(first) != _drawn_from(second):
        return [f"Not comparable: they {some}, so that a difference may be one of the prompts"], []
    return [], [f"They {some}; the others weigh in the numbers of one alone"]


def _drawn_from(root: Path) -> object:
    """Content of the prompt files that a run drew from; of each folder its own where that is not known."""
    return made_from(root, "prompts").get("prompts") or root.resolve()


def _prompt_ids(root: Path) -> pl.Series | None:
    for path in (root / "prompts.parquet", root / "filtered/kept.parquet"):
        table = scan(path)
        if table is not None and "prompt_id" in table.collect_schema():
            return table.select(pl.col("prompt_id").unique()).collect().to_series()
    return None


def _in_mind(opinions: list[OpinionPair], one: RunFacts, two: RunFacts) -> Iterator[str]:
    """What must be borne in mind where numbers stand side by side."""
    if opinions and not any(pair.difference is not None for pair in opinions):
        yield "No judge voted in both, so that their agreements cannot be held against each other"
    for run in (one, two):
        for warning in run.warnings:
            yield f"{run.name}: {warning}"
        if run.funnel is None:
            yield f"{run.name} has not been filtered"


def _beside(root: Path) -> dict[str, Any]:
    """What decides the pairs beside the public parts of a configuration: prompts, seed, rounds, policy."""
    made, wanted = made_from(root, "prompts"), ("prompts", "limit", "per_round", "iterations", "seed", "policy")
    known = {name: made.get(name) for name in wanted}
    shown = {name: public_name(value) if isinstance(value, str) else value for name, value in known.items()}
    return {f"{'content of ' * (name == 'prompts')}{name}": value for name, value in shown.items()}


def _settings(first: Mapping[str, Any], second: Mapping[str, Any]) -> Iterator[Setting]:
    flat = [dict(_flat(config)) for config in (first, second)]
    for key in sorted({*flat[0], *flat[1]} - _NO_MATTER):
        values = [side.get(key) for side in flat]
        if values[0] != values[1]:
            yield Setting(key=key, first=values[0], second=values[1])


def _flat(config: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in config.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{before}{key}.")
        elif isinstance(value, list) and value and all(isinstance(one, Mapping) for one in value):
            # By name, so that a filter put before others does not make all after it differ.
            names = _numbered(str(one.get("use") or one.get("name") or "entry") for one in value)
            yield from _flat(dict(zip(names, value, strict=True)), f"{before}{key}.")
        else:
            yield f"{before}{key}", value


def _kept_pairs(first: Path, second: Path) -> KeptPairs | None:
    """The kept pairs by id, and by prompt, since another seed or policy writes other replies to the same prompt."""
    tables = [scan(root / "filtered/kept.parquet") for root in (first, second)]
    if any(table is None or not {"pair_id", "prompt_id"} <= set(table.collect_schema()) for table in tables):
        return None
    ids = [table.select("pair_id", "prompt_id").collect() for table in tables if table is not None]
    alone = [ids[a].join(ids[b], on="pair_id", how="anti").sort("pair_id") for a, b in ((0, 1), (1, 0))]
    prompts = [each.select("prompt_id").unique() for each in ids]
    common = prompts[0].join(prompts[1], on="prompt_id", how="semi").height
    return KeptPairs(
        both=ids[0].height - alone[0].height,
        only_first=alone[0]["pair_id"].to_list(),
        only_second=alone[1]["pair_id"].to_list(),
        prompts_both=common,
        prompts_only_first=prompts[0].height - common,
        prompts_only_second=prompts[1].height - common,
        first=_told(first, second, alone[0]["pair_id"]),
        second=_told(second, first, alone[1]["pair_id"]),
    )


def _told(root: Path, other: Path, ids: pl.Series) -> list[LonePair]:
    """Some of the pairs `ids` of `root` with their texts and what became of them in `other`."""
    alone = ids.to_frame("pair_id").lazy()
    # First those that the other run made too and dropped: of them it can be said why.
    # Unique, as one pair may have been rejected in two iterations.
    fates = _fates(other).join(alone, on="pair_id", how="semi").unique("pair_id", keep="first", maintain_order=True)
    known = alone.join(fates, on="pair_id", how="left").sort(pl.col("there").is_null(), "pair_id")
    few = known.head(SHOWN).with_columns(pl.col("there").fill_null("not made")).with_row_index("place")
    rows = pl.scan_parquet(root / "filtered/kept.parquet", glob=False)
    extra = [name for name in ("feature", "iteration") if name in rows.collect_schema()]
    # Cast, as a column of prompts that are all empty has no type of its own.
    prompt = pl.col("prompt").cast(MESSAGES).list.last().struct.field("content").fill_null("").alias("prompt")
    texts = rows.select("pair_id", prompt, "chosen", "rejected", *extra)
    # A pair may be there twice in either table, and each side of a join keeps no order of its own.
    found = few.join(texts, on="pair_id").unique("pair_id", keep="first").sort("place").drop("place").collect()
    return [LonePair(**row) for row in found.iter_rows(named=True)]


def _fates(root: Path) -> pl.LazyFrame:
    """[pair_id, there]: the pairs that a run rejected, and why."""
    rejected = scan(root / "filtered/rejected.parquet")
    if rejected is None or not {"pair_id", "filter", "reason"} <= set(rejected.collect_schema()):
        return pl.LazyFrame(schema={"pair_id": pl.String, "there": pl.String})
    there = pl.concat_str(pl.lit("rejected by "), "filter", pl.lit(": "), "reason")
    return rejected.select("pair_id", there=there)
