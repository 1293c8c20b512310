"""Every prompt with the iteration it is for; the unusable and the too long are set aside."""

from collections.abc import Iterator

import polars as pl

from factory.line.run_files import note_reading
from factory.line.steps import Facts, Steps
from factory.models.ref import ModelRef
from factory.readers import fingerprint, read_prompts
from factory.schema import Split
from factory.stages.contrast import longest
from factory.stages.prompts import in_portions, per_round, prompts, required, within_context
from factory.store.journal import Journal
from principles.views import view_messages

_EMPTY = [{"role": "user", "content": ""}]


def inputs(steps: Steps, policy: ModelRef) -> Facts:
    """Columns and the size of a round count where they are given: older run folders know neither."""
    config, iterations = steps.config.prompts, steps.config.run.iterations
    size = per_round(config, iterations)
    return {
        "prompts": fingerprint(config.paths, table="prompts.parquet"),
        **({"columns": config.columns} if config.columns else {}),
        "limit": config.limit,
        **({} if size is None else {"per_round": size}),
        "iterations": iterations,
        "seed": steps.seed,
        "policy": policy.identity,
        "max_new_tokens": steps.config.sampling.max_new_tokens,
        **steps.steered(),
    }


def make(steps: Steps, journal: Journal, policy: ModelRef) -> Iterator[Split]:
    """The engine counts tokens alone: a prompt has to leave room for the longest system message and a reply."""
    config, iterations = steps.config.prompts, steps.config.run.iterations
    found = read_prompts(config.paths, config.columns)
    note_reading(steps.folder, found.reading)
    planned = prompts(found.split, config, steps.seed, iterations)
    # The engine that will answer, opened here already: only its own tokenizer knows how long a prompt is.
    counter = steps.engines.get(steps.config.engine, policy)
    # On an empty prompt: what a system message adds is its text and the frame that the template puts around it.
    system = [view_messages(_EMPTY, text) for text in longest(steps.principles, steps.config.principles)]
    most = max(counter.count_tokens(system), default=0)
    fitting = within_context(planned.kept, counter, steps.config.sampling.max_new_tokens, most)
    kept = in_portions(fitting.kept, config, steps.seed, iterations)
    rejected = pl.concat([planned.rejected, fitting.rejected], how="diagonal_relaxed")
    yield required(Split(kept, rejected), config)
