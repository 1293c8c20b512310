"""The steps of the line: each stage of the table made once, from what it reads, by the module that its row names."""

from collections.abc import Callable, Iterator, Mapping
from pkgutil import resolve_name
from typing import Any, NamedTuple

import polars as pl

import principles
from factory.config import Config
from factory.config.engines import EngineBlock
from factory.engines.base import Generator
from factory.line.preflight import filters_of
from factory.models.ref import ModelRef
from factory.schema import Split
from factory.stages import STAGES
from factory.stages.parts import of_iteration, parts
from factory.stages.pool import EnginePool, scorer_block
from factory.store import RunFolder, Stage
from factory.store.journal import Journal

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
    """A run's configuration, folder and engines, and the way each stage is made with them."""

    def __init__(self, config: Config, folder: RunFolder, engines: EnginePool) -> None:
        self.config, self.folder, self.engines = config, folder, engines
        self.seed = config.run.seed
        self.filters = filters_of(config)
        self.principles = principles.load(config.principles.set)

    def iterations(self) -> range:
        """1 to the number of iterations."""
        return range(1, self.config.run.iterations + 1)

    def first_policy(self) -> ModelRef:
        """The policy the line starts from."""
        config = self.config.policy
        known = ModelRef.by_content(config.model)
        return known._replace(fold_system=config.system_role == "fold", trust_remote_code=config.trust_remote_code)

    def make(self, name: str, *given: Any) -> Stage:
        """The stage `name`, finished; for one that was done before, nothing is opened or computed.

        It is made of what is `given`, which ends with the iteration or format it is for, where there are several.
        """
        stage = STAGES[name]
        # By name, so that a run loads the modules of the stages that it has, when it comes to them.
        step, path, files = resolve_name(stage.made_by), stage.path(given[-1]), stage.files(given[-1])
        inputs = step.inputs(self, *given)
        if stage.makes is None:
            return self.folder.table(path, inputs, lambda journal: step.make(self, journal, *given), stage.counts)
        return self.folder.stage(path, inputs, lambda work: step.make(self, work, *given), files)

    def pairs(self, prompts: Stage, policy: ModelRef, iteration: int, write: Writer, decides: Facts) -> Stage:
        """The stage `triples` made otherwise than under principles, by `write`; `decides` says what else changes it."""

        def build(journal: Journal) -> Iterator[Split]:
            for part in parts(of_iteration(prompts.scan(), iteration)):
                yield write(part, journal)

        config = self.config
        made = {"from": config.pairs.maker, "sampling": config.sampling.model_dump(mode="json"), **decides}
        inputs = {"prompts": prompts.digest, **made, **self.asked(policy, iteration)}
        return self.folder.table(STAGES["triples"].path(iteration), inputs, build)

    def has(self, name: str) -> bool:
        """Whether this run makes the stage `name`."""
        return STAGES[name].made_if(self.config)

    def generator(self, policy: ModelRef, journal: Journal, asker: str) -> Generator:
        """The policy, to be asked for text by `asker` (`replies 1`)."""
        return self.engines.generator(self.config.engine, policy, journal, asker)

    def scorer_block(self) -> EngineBlock | None:
        """What measures log-probabilities; None where nothing needs to."""
        return scorer_block(self.config.engine, self.config.training.method != "none")

    def steered(self) -> Facts:
        """The principles, and how they are used where it is not the usual way: inputs of what reads them."""
        how = self.config.principles.model_dump(mode="json", exclude={"set"}, exclude_defaults=True)
        return {"principles": self.principles.digest, **how}

    def asked(self, policy: ModelRef, iteration: int) -> Facts:
        """What decides an answer of the policy beside the question: inputs of what asks it."""
        engine = self.config.engine.fingerprint
        return {"policy": policy.identity, "engine": engine, "seed": self.seed, "iteration": iteration}
