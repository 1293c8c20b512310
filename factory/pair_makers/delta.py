"""`delta`: chosen from the policy, rejected from a named weaker model, both to the prompt as it is.

The recipe of OLMo 3's preference data: what counts is the difference between the two models, not how good either is.
"""

import polars as pl

from factory.engines.api.accounts import ENGINE, WEAK
from factory.line.steps import IterationTables, Steps
from factory.models.ref import ModelRef
from factory.schema import Split
from factory.stages.plain_pairs import Origin, Pairing, paired, replies
from factory.store import Stage
from factory.store.journal import Journal


def make(steps: Steps, prompts: Stage, policy: ModelRef, iteration: int) -> IterationTables:
    """One reply of each model to each prompt, `samples_per_view` times."""
    config, sampling, seed = steps.config.pairs, steps.config.sampling, steps.config.run.seed
    assert config.weak is not None  # preflight has asked for it
    weak, block = ModelRef.by_content(config.weak), config.weak_engine or steps.config.engine
    account = WEAK if config.weak_engine else ENGINE

    def write(part: pl.DataFrame, journal: Journal) -> Split:
        strong = steps.engines.generator(steps.config.engine, policy, journal, f"replies {iteration}")
        chosen = replies(part, strong, sampling, seed, iteration, "chosen", sampling.samples_per_view)
        # After all of the stronger one's: at most one engine is open.
        other = steps.engines.generator(block, weak, journal, f"weaker replies {iteration}", account)
        rejected = replies(part, other, sampling, seed, iteration, "rejected", sampling.samples_per_view)
        made = {id_: [Pairing(*both) for both in zip(chosen[id_], rejected[id_], strict=True)] for id_ in chosen}
        return paired(part, made, Origin("delta", policy.called, iteration, rejected_by=weak.called))

    decides = {"weak": weak.identity, "weak_engine": block.fingerprint}
    return IterationTables(steps.pairs(prompts, policy, iteration, write, decides))
