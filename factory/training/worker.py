"""One of the processes that `launched` starts: `python -m factory.training.worker JOB`, under accelerate's launcher."""

import sys
from pathlib import Path
from typing import NoReturn

import polars as pl

from factory.config import Training
from factory.errors import FactoryError, TrainingError, first_line
from factory.models.ref import ModelRef
from factory.progress import Silent
from factory.store import write_json
from factory.training.launched import FACTS, FAILURE, PAIRS, Teller, known
from factory.training.processes import first_to_fail, leave, lost, rank


def main() -> NoReturn:
    """Train along; process 0 tells progress and facts, whoever fails first says why."""
    from factory.training.run import stage  # loads torch, which the process that starts this one need not have

    job, settings = known(sys.argv[1:])
    policy = ModelRef(**settings["policy"])
    options = {"seed": settings["seed"], "iteration": settings["iteration"]}
    shown = Silent() if rank() else Teller(job)
    try:
        pairs = pl.read_parquet(job / PAIRS)
        config = Training.model_validate(settings["training"])
        facts = stage(pairs, policy, Path(settings["out"]), config, progress=shown, **options)
    except (FactoryError, RuntimeError, OSError) as error:
        told = _told(error)
        if first_to_fail():
            write_json(job / FAILURE, {"error": str(told), "exit_code": told.exit_code})
        leave(told.exit_code)
    if rank() == 0:
        write_json(job / FACTS, facts)
    leave(0)


def _told(error: Exception) -> FactoryError:
    if isinstance(error, FactoryError):
        return error
    gone = lost(error) if isinstance(error, RuntimeError) else None
    return gone or TrainingError(f"training failed: {first_line(error)}")


if __name__ == "__main__":
    main()
