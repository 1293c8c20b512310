"""The steps of the line: for each stage what it reads, what changes its data, and the function that makes it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

import principles
from factory import training
from factory.commands.audit import AUDITED, audit_into
from factory.commands.export_stages import export_stages, push_stage
from factory.commands.filter import FILTERED, filter_into
from factory.commands.report import report_into
from factory.commands.run_files import note_reading
from factory.commands.train import TRAINED
from factory.config import Config
from factory.config.engines import EngineBlock
from factory.identity import draw
from factory.line.panel import EnginePool, judge_fingerprint, open_panel, scorer_block
from factory.models.ref import ModelRef
from factory.readers import fingerprint, read_prompts
from factory.schema import REJECTED, LazySplit, Split
from factory.stages.contrast import contrast, longest
from factory.stages.features import allocate
from factory.stages.parts import beside, parts, portion
from factory.stages.prompts import in_portions, per_round, required, within_context
from factory.stages.prompts import prompts as plan_portions
from factory.stages.score import read_by, score
from factory.stages.target import filters_of
from factory.stages.triples import triples
from factory.store import RunFolder, Stage, Workspace
from factory.store.journal import Journal
from factory.views import view_messages

_EMPTY = [{"role": "user", "content": ""}]
Facts = Mapping[str, Any]
Writer = Callable[[pl.DataFrame, Journal], Split]
"""Makes pairs of prompts, with the journal of its stage."""


class IterationTables(NamedTuple):
    """The pairs of an iteration, and the stages before them that asked a model."""

    triples: Stage
    before: tuple[Stage, ...] = ()


class Generated(NamedTuple):
    """The tables of an iteration, or of a further round."""

    made: IterationTables
    scores: Stage

    @property
    def triples(self) -> Stage:
        """The pairs before they were scored."""
        return self.made.triples


class Steps:
    """One method per stage, each returning it finished. For a stage done before, nothing is opened or computed."""

    def __init__(self, config: Config, folder: RunFolder, room: EnginePool) -> None:
        self.config, self.folder, self.room = config, folder, room
        self._filters = filters_of(config)
        self._principles = principles.load(config.principles.set)
        self._seed = config.run.seed

    def iterations(self) -> range:
        """1 to the number of iterations."""
        return range(1, self.config.run.iterations + 1)

    def first_policy(self) -> ModelRef:
        """The policy the line starts from."""
        config = self.config.policy
        known = ModelRef.by_content(config.model)
        return known._replace(fold_system=config.system_role == "fold", trust_remote_code=config.trust_remote_code)

    def prompts(self, policy: ModelRef) -> Stage:
        """Every prompt with the iteration it is for; the unusable and the too long are set aside."""
        config, run = self.config.prompts, self.config.run
        room = self.config.sampling.max_new_tokens

        def build(journal: Journal) -> Iterator[Split]:
            found = read_prompts(config.paths, config.columns)
            note_reading(self.folder, found.reading)
            planned = plan_portions(found.split, config, self._seed, run.iterations)
            generator = self._generator(policy, journal, "prompts")
            system = [view_messages(_EMPTY, text) for text in longest(self._principles, self.config.principles)]
            most = max(generator.count_tokens(system), default=0)
            fitting = within_context(planned.kept, generator, room, most)
            rejected = pl.concat([planned.rejected, fitting.rejected], how="diagonal_relaxed")
            yield required(Split(in_portions(fitting.kept, config, self._seed, run.iterations), rejected), config)

        size = per_round(config, run.iterations)
        inputs = {
            "prompts": fingerprint(config.paths, table="prompts.parquet"),
            **({"columns": config.columns} if config.columns else {}),
            "limit": config.limit,
            **({} if size is None else {"per_round": size}),
            "iterations": run.iterations,
            "seed": self._seed,
            "policy": policy.identity,
            "max_new_tokens": room,
            **self._steered(),
        }
        return self.folder.table("prompts", inputs, build)

    def features(self, prompts: Stage, policy: ModelRef, iteration: int) -> Stage:
        """The feature of each prompt of the iteration, named by the policy and drawn."""

        def build(journal: Journal) -> Iterator[Split]:
            engine = self._generator(policy, journal, f"features {iteration}")
            for part in parts(portion(prompts.scan(), iteration)):
                yield Split(allocate(part, engine, self._principles, self._seed, iteration, self.config.principles))

        inputs = {"prompts": prompts.digest, **self._steered(), **self._asked(policy, iteration)}
        return self.folder.table(f"iterations/{iteration}/features", inputs, build, count="feature_source")

    def contrast(self, prompts: Stage, features: Stage, policy: ModelRef, iteration: int) -> Stage:
        """The two system messages of each prompt."""
        config = self.config.principles

        def build(journal: Journal) -> Iterator[Split]:
            generated = config.source == "generated"
            engine = self._generator(policy, journal, f"principles {iteration}") if generated else None
            for part, named in beside(portion(prompts.scan(), iteration), features.scan()):
                yield Split(contrast(part, named, self._principles, config, engine, self._seed, iteration))

        inputs = {
            "prompts": prompts.digest,
            "features": features.digest,
            **self._steered(),
            **self._asked(policy, iteration),
        }
        return self.folder.table(f"iterations/{iteration}/contrast", inputs, build, count="principle_source")

    def triples(self, prompts: Stage, contrast: Stage, policy: ModelRef, iteration: int) -> Stage:
        """The three replies to each prompt, as pairs."""

        def build(journal: Journal) -> Iterator[Split]:
            engine = self._generator(policy, journal, f"replies {iteration}")
            for part, steered in beside(portion(prompts.scan(), iteration), contrast.scan()):
                yield triples(
                    part,
                    steered,
                    engine,
                    self.config.sampling,
                    seed=self._seed,
                    iteration=iteration,
                    method=self.config.training.method,
                    policy=policy.called,
                )

        inputs = {
            "prompts": prompts.digest,
            "contrast": contrast.digest,
            "sampling": self.config.sampling.model_dump(mode="json"),
            "method": self.config.training.method,
            **self._asked(policy, iteration),
        }
        return self.folder.table(f"iterations/{iteration}/triples", inputs, build)

    def pairs(self, prompts: Stage, policy: ModelRef, iteration: int, write: Writer, decides: Facts) -> Stage:
        """Pairs made otherwise: `write` makes them of prompts, `decides` says what else changes them."""

        def build(journal: Journal) -> Iterator[Split]:
            for part in parts(portion(prompts.scan(), iteration)):
                yield write(part, journal)

        made = {"from": self.config.pairs.maker, "sampling": self.config.sampling.model_dump(mode="json"), **decides}
        inputs = {"prompts": prompts.digest, **made, **self._asked(policy, iteration)}
        return self.folder.table(f"iterations/{iteration}/triples", inputs, build)

    def scores(self, triples: Stage, policy: ModelRef, iteration: int) -> Stage:
        """The log-probabilities that are read, by the policy that wrote the replies: training's reference."""
        block = self._scorer_block()
        wanted = read_by(self.config.training, self._filters)

        def build(journal: Journal) -> Iterator[Split]:
            scorer = self.room.scorer(block, policy, journal, f"scores {iteration}") if block else None
            for part in parts(triples.scan()):
                yield Split(score(part, scorer, wanted))

        engine = block.fingerprint if block else None
        inputs = {"triples": triples.digest, "policy": policy.identity, "engine": engine, "measured": wanted}
        return self.folder.table(f"iterations/{iteration}/scores", inputs, build)

    def train(self, made: Generated, policy: ModelRef, iteration: int) -> ModelRef:
        """The next policy, trained on the iteration's pairs.

        What decides it is what the loss reads: numbers that a filter alone reads may be measured later.
        """
        config, scores = self.config.training, made.scores
        if config.method == "none":
            return policy
        if not scores.facts["rows"]:
            self.folder.progress.say(f"iterations/{iteration}/train: no pairs to train on, the policy stays as it is")
            return policy

        def build(work: Workspace) -> dict[str, Any]:
            self.room.close()
            return training.trainer(self.config.engine, config)(
                scores.read(),
                policy,
                work.path,
                config,
                seed=draw(self._seed, "train", iteration),
                iteration=iteration,
                progress=self.folder.progress,
            )

        inputs = {
            "pairs": made.triples.digest,
            "scored": scored.fingerprint if (scored := self._scorer_block()) else None,
            "policy": policy.identity,
            "training": config.model_dump(mode="json", exclude=training.SAME_WEIGHTS),
            "seed": self._seed,
        }
        stage = self.folder.stage(f"iterations/{iteration}/train", inputs, build, TRAINED)
        label = f"{self.config.policy.model}@{config.method}-{iteration}"
        return policy._replace(
            name=str(stage.folder / "policy"), fingerprint=str(stage.facts["fingerprint"]), label=label
        )

    def filter(self, made: Sequence[Generated]) -> Stage:
        """What the filters keep of all iterations' pairs, judged where a filter needs votes."""
        pairs = LazySplit(
            pl.concat([one.scores.scan() for one in made], how="diagonal"),
            pl.concat([_rejected(one.triples) for one in made], how="diagonal"),
        )
        judges = self.config.judges

        def build(work: Workspace) -> dict[str, Any]:
            panel = open_panel(judges, self.config.engine, self.room, work.journal)
            return filter_into(work.path, pairs, self._filters, panel, self._seed, must_decide=True)

        return self.folder.stage("filtered/filter", self.filtered_by(made), build, FILTERED)

    def audit(self, filtered: Stage) -> Stage | None:
        """The agreement of the kept pairs' labels with a judge of its own, when one is configured."""
        config, judge = self.config.audit, self.config.audit.judge
        if judge is None:
            return None
        kept, votes = (filtered.folder / f"{name}.parquet" for name in ("kept", "judgments"))

        def build(work: Workspace) -> dict[str, Any]:
            return audit_into(work, kept, judge, config, self.room, self.config, self._seed, votes)

        inputs = {
            "kept": filtered.digest,
            "judge": judge_fingerprint(judge, self.config.engine),
            "sample": config.sample,
            "seed": self._seed,
        }
        return self.folder.stage("audit/audit", inputs, build, AUDITED)

    def export(self, filtered: Stage, audit: Stage | None) -> tuple[Stage, ...]:
        """The kept pairs in each configured format, with card."""
        return export_stages(self.folder, filtered, audit, self.config.export, self._seed)

    def push(self, exports: Sequence[Stage]) -> str | None:
        """The address of the export on the Hub, when one is configured."""
        return push_stage(self.folder, exports, self.config.export)

    def report(self) -> Path:
        """The run on one page."""
        return report_into(self.folder.record, self.folder.root)

    def filtered_by(self, made: Sequence[Generated]) -> dict[str, Any]:
        """What decides which pairs are kept."""
        return {
            "scores": [one.scores.digest for one in made],
            "triples": [one.triples.digest for one in made],
            "filters": [step.fingerprint() for step in self._filters],
            "judges": [judge_fingerprint(judge, self.config.engine) for judge in self.config.judges],
            "seed": self._seed,
        }

    def _steered(self) -> dict[str, Any]:
        """The principles, and how they are used where it is not the usual way."""
        how = self.config.principles.model_dump(mode="json", exclude={"set"}, exclude_defaults=True)
        return {"principles": self._principles.digest, **how}

    def _scorer_block(self) -> EngineBlock | None:
        return scorer_block(self.config.engine, self.config.training.method != "none")

    def _generator(self, policy: ModelRef, journal: Journal, name: str) -> Any:
        return self.room.generator(self.config.engine, policy, journal, name)

    def _asked(self, policy: ModelRef, iteration: int) -> dict[str, Any]:
        """What decides an answer of the policy beside the question."""
        engine = self.config.engine.fingerprint
        return {"policy": policy.identity, "engine": engine, "seed": self._seed, "iteration": iteration}


def _rejected(stage: Stage) -> pl.LazyFrame:
    path = stage.rejected_path
    return pl.scan_parquet(path) if path else REJECTED.empty().lazy()
