"""`filter`: split pairs into kept and rejected, judging them where a filter needs votes."""

from collections.abc import Mapping, Sequence
from itertools import repeat
from pathlib import Path
from shutil import rmtree
from typing import Any, NamedTuple, Unpack

import polars as pl

import filters as registry
from factory.config import FiltersConfig, Judge
from factory.config.load import as_config
from factory.engines.api.accounts import Spending
from factory.errors import ConfigError, InputError, first_line
from factory.files import PathLike
from factory.files.streaming import small_morsels
from factory.files.table_file import ROW_GROUP, TableFile, sink
from factory.identity import DEFAULT_SEED
from factory.progress import Progress, Silent
from factory.readers import PairsLike, Reading, ReadOptions, fetched_once, fingerprint, how_to_read
from factory.readers.inputs.on_disk import places
from factory.readers.table.normal import READ
from factory.readers.told import read_and_tell, tell_idle, tell_remarks, tell_set_aside
from factory.schema import JUDGMENTS, LazySplit, check, conform
from factory.stages import STAGES, quality
from factory.stages.asked_models import judge_fingerprint, open_judges
from factory.stages.audit_sample import wrote
from factory.stages.health import Leanings, sizes
from factory.stages.id_set import IdSet
from factory.stages.judge import JudgeWithEngine, judge_into
from factory.stages.parts import parts
from factory.stages.pool import EnginePool
from factory.stages.votes import VOTE_ORDER, RecordedVotes, VoteParts, VotesInParts
from factory.stages.worthless import require_verdicts
from factory.store import Workspace, open_run, write_json
from factory.store.ownership import require_apart
from filters.base import Filter
from filters.funnel import Funnel, run_funnel
from filters.judge_agrees import JudgeAgrees
from filters.votes import by_pair, judges_of, require_known

_SCRATCH = ".judging"


@fetched_once()
@small_morsels()
def filter_pairs(
    pairs: PairsLike,
    out: PathLike,
    *,
    config: FiltersConfig | Mapping[str, Any] | PathLike | None = None,
    judgments: PathLike | None = None,
    seed: int = DEFAULT_SEED,
    dry_run: bool = False,
    progress: Progress | None = None,
    **reading: Unpack[ReadOptions],
) -> Funnel:
    """Apply filters to pair files, frames, datasets or run folders; write kept, rejected, judgments and funnel.json.

    `config` is a FiltersConfig, its keys, or the path of a FILTERS.yaml; without one the paper preset runs, unjudged.
    `judgments` is a file of votes recorded earlier, used instead of any judge. `dry_run` writes nothing and asks
    nobody: without `judgments` it leaves out the filters that need votes, and says so. The same call goes on where a
    killed one stopped. `columns`, `layout`, `pairing` and `skip_unreadable` say how to read the pairs.
    """
    shown = progress or Silent()
    settings = _settings(config, shown)
    require_apart(Path(out), [*places(pairs), *([judgments] if judgments else [])])
    steps = registry.build(settings.filters)
    recorded = read_judgments(judgments) if judgments else None
    how = how_to_read(reading, settings.columns)
    if recorded is None:
        require_judges(steps, settings.judges)
    told = read_and_tell(pairs, how, shown)
    tell_remarks(steps, shown)
    tell_idle(steps, told.pairs, shown)
    if dry_run:
        return _dry(told.pairs.split, steps, recorded, shown)
    inputs = {
        "pairs": fingerprint(pairs),
        "filters": [step.fingerprint() for step in steps],
        "judges": [judge_fingerprint(member, None) for member in settings.judges],
        "judgments": fingerprint([judgments]) if judgments else None,
        "seed": seed,
        **how.fingerprint(),
    }

    def build(work: Workspace) -> dict[str, Any]:
        with EnginePool(shown, Spending(Path(out))) as engines:
            judges = open_judges(settings.judges, None, engines, work.journal)
            return filter_into(work.path, told.pairs.split, steps, judges, seed, recorded, told.reading)

    with open_run(Path(out), shown) as folder:
        folder.stage("filter", inputs, build, STAGES["filter"].files())
    # From the disk, as a stage done before returns no more than that.
    funnel = Funnel.read(Path(out) / "funnel.json")
    tell_set_aside(_set_aside(funnel), shown)
    return funnel


def _set_aside(funnel: Funnel) -> Mapping[str, int]:
    """Rows that the reader rejected, by reason."""
    return next((step.reasons for step in funnel.steps if step.filter == READ), {})


def _dry(pairs: LazySplit, steps: Sequence[Filter], recorded: pl.DataFrame | None, shown: Progress) -> Funnel:
    needing = [step.name for step in steps if step.needs_votes and recorded is None]
    if needing:
        shown.say(f"nobody is asked in a dry run, so that {', '.join(needing)} is left out: later steps see more pairs")
    return run_funnel(pairs, [step for step in steps if step.name not in needing], recorded)


def filter_into(
    out: Path,
    pairs: LazySplit,
    steps: Sequence[Filter],
    judges: Sequence[JudgeWithEngine],
    seed: int,
    recorded: pl.DataFrame | None = None,
    reading: Reading | None = None,
    must_decide: bool = False,
) -> dict[str, Any]:
    """Run the funnel into the folder `out`; the judges are asked when a filter needs votes. Returns the stage's facts.

    Where there are votes, funnel.json also says what the judges are like and how good the kept pairs are by them;
    with a `reading`, how the pairs were read. With `must_decide` a judge that gives no verdict at all is an error, as
    nothing would be left for what follows; without, its pairs are rejected as invalid.
    """
    rule = next((step.rule for step in steps if isinstance(step, JudgeAgrees)), None)
    asked: list[_Asked] = []

    def ask(live: pl.LazyFrame) -> pl.LazyFrame:
        found = _recorded(recorded) if recorded is not None else _judged(scratch, live, judges, rule, seed)
        asked.append(found)
        if must_decide and isinstance(found.votes, VoteParts):
            require_verdicts(found.votes)
        return found.by_pair()

    # Inside the stage's own folder: on its disk, and gone with it when the process is killed.
    scratch = out / _SCRATCH
    try:
        found = run_funnel(pairs, steps, ask, out)
        more: dict[str, Any] = {}
        for votes in asked:
            more |= _told(out, votes, judges if recorded is None else (), seed)
            if rule is None:
                more.pop("judge_agrees")  # it kept nothing where it is no filter of these
    finally:
        rmtree(scratch, ignore_errors=True)
    if reading is not None:
        more["reading"] = reading._replace(set_aside=_set_aside(found)).to_dict()
    if more:
        write_json(out / "funnel.json", found._replace(more=more).to_dict())
    return {"rows": found.kept, "rejected": found.input - found.kept}


class _Asked(NamedTuple):
    """The votes that a filter asked for, or was given."""

    votes: VotesInParts
    pairs: pl.LazyFrame | None
    """The pairs that were judged, part by part as the votes on them; None of votes recorded earlier."""
    judges: Sequence[str]

    def by_pair(self) -> pl.LazyFrame:
        """What was said of each pair, grouped part by part."""
        if isinstance(self.votes, RecordedVotes):
            return by_pair(self.votes.table, self.judges)
        said = [by_pair(part, self.judges).collect() for part in self.votes.parts()]
        return pl.concat(said).lazy()


def _recorded(votes: pl.DataFrame) -> _Asked:
    return _Asked(RecordedVotes(votes), None, judges_of(votes))


def _judged(
    scratch: Path, live: pl.LazyFrame, judges: Sequence[JudgeWithEngine], rule: str | None, seed: int
) -> _Asked:
    """The votes on the live pairs, each of which is judged once however often it is there."""
    rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    shown = live.select("pair_id", "prompt", "chosen", "rejected", "feature")
    sink(shown, scratch / "pairs.parquet", row_group_size=ROW_GROUP)
    table = pl.scan_parquet(scratch / "pairs.parquet", glob=False)
    first = table.select("pair_id").collect()["pair_id"].is_first_distinct()
    if not first.all():
        sink(table.filter(first), scratch / "once.parquet", row_group_size=ROW_GROUP)
        table = pl.scan_parquet(scratch / "once.parquet", glob=False)
    votes = judge_into(scratch, table, judges, rule, seed)
    return _Asked(votes, table, judges_of(votes.scan()))


def _told(out: Path, asked: _Asked, judges: Sequence[JudgeWithEngine], seed: int) -> dict[str, Any]:
    """What funnel.json says of judges and kept pairs; asks for the votes on the sample, and writes all votes."""
    kept, rejected = (pl.scan_parquet(out / f"{name}.parquet", glob=False) for name in ("kept", "rejected"))
    dropped = IdSet(rejected.filter(pl.col("filter") == JudgeAgrees.name))
    known = quality.known(asked.votes.narrow(), dropped)
    further = VoteParts(out / _SCRATCH / "further")
    judged = quality.judge_kept(kept, asked.votes, judges, seed, further)
    leanings = _write_votes(out / "judgments.parquet", asked, further)
    policies = kept.select("policy").unique().collect(engine="streaming")["policy"].to_list() if judges else []
    authors = [member.config.name for member in judges if wrote(member.config, policies)]
    healths = [found.model_dump() for found in leanings.healths(authors)]
    return {"judges": healths, "judge_agrees": known.model_dump(), "quality": judged.model_dump()}


def _write_votes(path: Path, asked: _Asked, further: VoteParts) -> Leanings:
    """Write all votes, part by part, and count what they lean to."""
    table, leanings = TableFile(path), Leanings()
    sized = repeat(None) if asked.pairs is None else parts(sizes(asked.pairs))
    for part, lengths in zip(asked.votes.parts(), sized, strict=False):
        more = further.scan().join(part.lazy().select("pair_id").unique(), on="pair_id", how="semi").collect()
        whole = pl.concat([part, more]).sort(VOTE_ORDER) if more.height else part
        table.add(whole)
        leanings.add(whole, lengths)
    table.close()
    return leanings


def read_judgments(path: PathLike) -> pl.DataFrame:
    """Votes recorded earlier, checked against the judgments table."""
    try:
        votes = conform(pl.read_parquet(path, glob=False), JUDGMENTS)
    except (OSError, pl.exceptions.PolarsError) as error:
        why = first_line(error)
        raise InputError(f"{path}: no judgments can be read from it ({why}); give a judgments.parquet") from error
    check(votes, JUDGMENTS, str(path))
    require_known(votes, str(path))
    return votes


def _settings(config: FiltersConfig | Mapping[str, Any] | PathLike | None, shown: Progress) -> FiltersConfig:
    if config is not None:
        return as_config(config, FiltersConfig)
    shown.say("no filters are configured: the paper preset runs, with no judge")
    return FiltersConfig(filters=registry.paper(judged=False))


def require_judges(steps: Sequence[Filter], judges: Sequence[Judge]) -> None:
    """Raise ConfigError where a filter needs votes and nobody, or not whom it names, is there to give any."""
    needing = [step.name for step in steps if step.needs_votes]
    if needing and not judges:
        raise ConfigError(f"{needing[0]} needs votes: name a judge under judges:, or give votes with --judgments")
    names = [judge.name for judge in judges]
    counted = [name for step in steps if isinstance(step, JudgeAgrees) for name in step.judges or ()]
    unknown = next((name for name in counted if name not in names), None)
    if unknown is not None:
        raise ConfigError(f"judge_agrees counts the judge {unknown!r}, and judges: names {', '.join(names)} alone")
