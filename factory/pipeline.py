"""THE LINE: prompts in, a filtered preference dataset out."""

from collections.abc import Mapping
from contextlib import ExitStack
from math import ceil
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

import factory
from factory.commands.report import report_into
from factory.config import Config
from factory.config.load import as_config, load_config
from factory.config.pairs import PAIR_MAKERS
from factory.config.prompts import Budget
from factory.engines.api.accounts import FILE as SPENDING
from factory.engines.api.accounts import Spending
from factory.errors import ConfigError
from factory.exports.facts.bill import Bill, bill
from factory.exports.facts.caveats import caveats
from factory.files import PathLike
from factory.files.streaming import small_morsels
from factory.identity import versions
from factory.line.checking import check_once
from factory.line.preflight import last_stage, preflight
from factory.line.rounds import next_round
from factory.line.run_files import HEAD, inputs_of, require_free, write_head
from factory.line.steps import Generated, Steps
from factory.line.steps.train import next_policy
from factory.line.tracking import tracked
from factory.models.ref import ModelRef
from factory.progress import Progress, Silent
from factory.readers import fetched_once
from factory.stages.pool import EnginePool
from factory.store import Stage, StageReachedError, open_run, preview_of
from factory.store.ownership import require_apart
from factory.training.processes import alone
from filters.funnel import Funnel


class Outcome(NamedTuple):
    """Where a run's results lie; a stage that `until` left out is None."""

    root: Path
    filtered: Stage | None = None
    exports: tuple[Stage, ...] = ()
    audit: Stage | None = None
    report: Path | None = None
    drawn: str | None = None
    """With `prompts.target_pairs`: whether it was reached, and what ended the drawing."""
    pushed: str | None = None
    """Address of the export on the Hub, where `export.push_to_hub` names a place."""

    @property
    def bill(self) -> Bill:
        """What policy, judges and audit took."""
        return bill(self.root)

    @property
    def caveats(self) -> list[str]:
        """What must be known of the kept pairs before they are used, in sentences; none before the filters."""
        if self.filtered is None:
            return []
        config = load_config(self.root / HEAD[0]).model_dump(mode="json", include={"policy", "engine"})
        return caveats(**config, kept=pl.scan_parquet(self.filtered.folder / "kept.parquet", glob=False))

    @property
    def funnel(self) -> Funnel:
        """What each filter left, for a run that got as far as filtering."""
        return Funnel.read(self.root / "filtered" / "funnel.json")

    def to_dict(self) -> dict[str, Any]:
        """Where everything lies, with funnel and bill, as plain values."""
        filtered, root = self.filtered, self.root
        return {
            "run": root,
            "kept": filtered and filtered.folder / "kept.parquet",
            "rejected": filtered and filtered.folder / "rejected.parquet",
            "exports": {stage.name.rpartition("/")[2]: root / stage.name for stage in self.exports},
            "audit": self.audit and self.audit.folder / "audit.json",
            "report": self.report,
            "drawn": self.drawn,
            "pushed": self.pushed,
            "funnel": filtered and self.funnel.to_dict(),
            "caveats": self.caveats,
            "bill": self.bill,
        }


def the_line(steps: Steps) -> Outcome:
    """The whole run, top to bottom. Every step is a stage on disk, made once; `factory.stages.LINE` is their table."""
    policy = steps.first_policy()
    prompts = steps.make("prompts", policy)
    made = []
    for iteration in steps.iterations():
        made.append(generate(steps, prompts, policy, iteration))
        policy = next_policy(steps, made[-1], policy, iteration)
    while (drawn := next_round(steps, prompts, made)).round is not None:
        made.append(generate(steps, prompts, policy, drawn.round))
    filtered = steps.make("filter", made)
    audit = steps.make("audit", filtered) if steps.has("audit") else None
    exports = tuple(steps.make("exports", filtered, audit, format_) for format_ in steps.config.export.formats)
    report = report_into(steps.folder.record, steps.folder.root)
    pushed = steps.make("push", *exports).facts["address"] if steps.has("push") else None
    return Outcome(steps.folder.root, filtered, exports, audit, report, drawn.why, pushed)


def generate(steps: Steps, prompts: Stage, policy: ModelRef, iteration: int) -> Generated:
    """The pairs of an iteration, written and scored by one policy."""
    made = PAIR_MAKERS.load(steps.config.pairs.maker)(steps, prompts, policy, iteration)
    return Generated(made, steps.make("scores", made.triples, policy, iteration))


# Around the whole run: what several stages read of the Hub is fetched once for all of them.
@fetched_once()
@small_morsels()
def run(
    config: Config | Mapping[str, Any] | PathLike,
    run_dir: PathLike | None = None,
    *,
    until: str | None = None,
    progress: Progress | None = None,
    check: bool = True,
    preview: int | None = None,
) -> Outcome:
    """Carry out a configuration in its run folder, reusing every stage whose inputs are unchanged.

    `config` is a Config, its keys, or the path of a YAML file; `run_dir` overrides `run.dir`; `until` names the stage
    to stop after: `prompts`, `features`, …, `2/triples` for that of the second iteration, `exports` for the last of
    these. `check` asks each API model one tiny question first, once in a run folder. `preview` makes that many prompts
    end to end, in a folder beside the run's that ends in -preview; the run takes over the answers. Raises a
    FactoryError with one sentence when the configuration, an input or an engine cannot be used; what is done stays.
    """
    alone("run")
    settings = as_config(config, Config)
    shown = progress or Silent()
    preflight(settings)
    last = last_stage(until, settings) if until else None
    root = Path(run_dir or settings.run.dir)
    # Before the folder is made: one that lies inside an input would be read as part of it.
    require_apart(root, inputs_of(settings))
    with ExitStack() as opened:
        folder = whole = opened.enter_context(open_run(root, shown, last))
        engines = opened.enter_context(EnginePool(shown, Spending(root, settings.run.max_cost)))
        if preview is not None:
            # The preview's money counts towards the run's bound: both spend from the file in the run's own folder.
            whole.record.claim([SPENDING], SPENDING)
            settings = _few(settings, preview)
            folder = opened.enter_context(open_run(preview_of(root), shown, last))
        steps = Steps(settings, folder, engines)
        require_free(folder, settings)
        if check:
            check_once(settings, engines, whole)
        facts = {"sso_factory": factory.__version__, "seed": settings.run.seed, "versions": versions()}
        write_head(folder, settings, facts)
        tracked(folder, settings, shown)
        try:
            return the_line(steps)
        except StageReachedError as reached:
            shown.say(f"stopped after {reached}, as asked")
            return Outcome(folder.root)


def _few(config: Config, count: int) -> Config:
    """The same for so many prompts, those that come first in the whole run too; nothing is pushed."""
    if count < 1:
        raise ConfigError("a preview is of one prompt or more")
    prompts, iterations = config.prompts, config.run.iterations
    few: dict[str, Any] = {"limit": min(count, prompts.limit or count)}
    if prompts.target_pairs is not None:
        few = {"per_round": ceil(count / iterations), "target_pairs": 1, "budget": Budget(requests=1)}
    prompts = prompts.model_copy(update=few)
    return config.model_copy(
        update={"prompts": prompts, "export": config.export.model_copy(update={"push_to_hub": None})}
    )
