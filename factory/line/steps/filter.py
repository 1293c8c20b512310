"""What the filters keep of all iterations' pairs, judged where a filter needs votes."""

from collections.abc import Sequence
from typing import Any

import polars as pl

from factory.commands.filter import filter_into
from factory.line.steps import Facts, Generated, Steps
from factory.readers.told import tell_remarks
from factory.schema import LazySplit
from factory.stages.asked_models import judge_fingerprint, open_judges
from factory.store import Workspace


def inputs(steps: Steps, made: Sequence[Generated]) -> Facts:
    """What decides which pairs are kept."""
    return {
        "scores": [one.scores.digest for one in made],
        "triples": [one.triples.digest for one in made],
        "filters": [step.fingerprint() for step in steps.filters],
        "judges": [judge_fingerprint(judge, steps.config.engine) for judge in steps.config.judges],
        "seed": steps.seed,
    }


def make(steps: Steps, work: Workspace, made: Sequence[Generated]) -> dict[str, Any]:
    """Rows that were rejected when they were made are in the funnel too."""
    pairs = LazySplit(
        # Diagonal: columns of the user's may be in some iterations' prompts alone.
        pl.concat([one.scores.scan() for one in made], how="diagonal"),
        pl.concat([one.triples.rejected() for one in made], how="diagonal"),
    )
    tell_remarks(steps.filters, steps.folder.progress)
    judges = open_judges(steps.config.judges, steps.config.engine, steps.engines, work.journal)
    return filter_into(work.path, pairs, steps.filters, judges, steps.seed, must_decide=True)
