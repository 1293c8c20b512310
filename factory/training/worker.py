"""One of the processes that `launched` starts: `python -m factory.training.worker JOB`, under accelerate's launcher."""

import json
import os
import signal
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from threading import Thread
from typing import NoReturn, cast

import polars as pl

from factory.config import Training
from factory.errors import FactoryError, TrainingError, first_line
from factory.models.ref import ModelRef
from factory.progress import Progress, Silent
from factory.registry import fault_of_a_part
from factory.store import write_json
from factory.training import TrainingJob
from factory.training.launched import FACTS, FAILURE, PAIRS, SETTINGS, TOLD
from factory.training.processes import first_to_fail, leave, lost, rank, told

_LOOK_SECONDS = 0.2
"""How often to see whether the launcher is still there."""


class Teller:
    """Progress of process 0: what it is told goes through a file, and is told again where the training was started."""

    def __init__(self, folder: Path) -> None:
        self._file = (folder / TOLD).open("a", encoding="utf-8")

    def __getattr__(self, name: str) -> Callable[..., None]:
        return partial(self._tell, name)

    def _tell(self, name: str, *given: object, **named: object) -> None:
        self._file.write(json.dumps([name, given, named]) + "\n")
        self._file.flush()


def main() -> NoReturn:
    """Train along; process 0 tells progress and facts, whoever fails first says why."""
    Thread(target=_end_with_launcher, args=(os.getppid(),), daemon=True).start()
    from factory.training.run import stage  # loads torch, which the process that starts this one need not have

    folder = Path(sys.argv[1])
    settings = json.loads((folder / SETTINGS).read_text("utf-8"))
    shown = Silent() if rank() else cast(Progress, Teller(folder))
    try:
        pairs, policy = pl.read_parquet(folder / PAIRS, glob=False), ModelRef(**settings["policy"])
        config = Training.model_validate(settings["training"])
        job = TrainingJob(pairs, policy, Path(settings["out"]), config, settings["seed"], settings["iteration"], shown)
        facts = stage(job)
    except (Exception, SystemExit) as error:
        if (ours := _ours(error)) is None:
            raise
        if first_to_fail():
            write_json(folder / FAILURE, told(ours))
        # The launcher ends the others as soon as one has ended so.
        leave(ours.exit_code)
    if rank() == 0:
        write_json(folder / FACTS, facts)
    leave(0)


def _end_with_launcher(launcher: int) -> None:
    """End, and what was started with it, once the launcher is gone: torch has each process lead a group of its own.

    A kill of the launcher's group does not reach it there, and it would go on in a folder that a next run trains in.
    """
    while os.getppid() == launcher:
        time.sleep(_LOOK_SECONDS)
    os.killpg(0, signal.SIGKILL)


def _ours(error: BaseException) -> FactoryError | None:
    """What is said of an error where the training was started; None for one of our own, whose traceback says where."""
    if isinstance(error, FactoryError):
        return error
    if (fault := fault_of_a_part(error)) is not None:
        return TrainingError(fault)
    gone = lost(error) if isinstance(error, RuntimeError) else None
    known = isinstance(error, RuntimeError | OSError)
    return gone or (TrainingError(f"training failed: {first_line(error)}") if known else None)


if __name__ == "__main__":
    main()
