"""Trackers of a run: what each stage leaves in numbers, told to TensorBoard, Weights & Biases or trackio as it ends.

The steps of a training are told by transformers' own integrations (`training.report_to`); these are the rest: rows,
what was set aside and why, requests, tokens, money, what each filter kept, what the audit found.
"""

import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from importlib import import_module
from importlib.util import find_spec
from math import isfinite
from typing import Any

from factory.config import Config
from factory.errors import ConfigError, first_line
from factory.exports.facts.public import public_config
from factory.identity import digest
from factory.progress import Progress
from factory.store import RunFolder, Stage
from filters.funnel import Funnel

Tracker = Callable[[RunFolder, Mapping[str, float], int, Mapping[str, Any]], None]
"""Tells the values of a stage, with its iteration, or 0, and the configuration of the run."""
PROJECT = "sso-factory"
"""Of the trackers that order runs by projects."""
FOLDER = "tracking"
"""Folder of a run in which trackers keep what they keep on this disk."""


_FAILURES = (OSError, RuntimeError, ValueError, TypeError, AttributeError, ImportError)
"""What a tracker may raise beside errors of its own."""


def tracked(folder: RunFolder, config: Config, progress: Progress) -> None:
    """Have each stage that `folder` makes from now on told to the trackers of `run.report_to`.

    A tracker that fails is said once and left out from then on: a run does not end for it.
    """
    left, told = list(config.run.report_to), public_config(config.model_dump(mode="json"))

    def tell(stage: Stage, seconds: float) -> None:
        values, number = dict(numbers(stage, seconds)), iteration_of(stage)
        # A copy, as a tracker that fails is taken out of the list on the way.
        for name in tuple(left):
            failures: tuple[type[Exception], ...] = (*_FAILURES, *_own_errors(name))
            try:
                TRACKERS[name](folder, values, number, told)
            except failures as error:
                left.remove(name)
                said = f"{type(error).__name__}: {first_line(error)}"
                progress.say(f"{name} takes no more numbers of this run ({said}); the run goes on without")

    if left:
        folder.on_made = tell


@contextmanager
def kept_beside(folder: RunFolder, names: Sequence[str], iteration: int) -> Iterator[None]:
    """While a training lasts, transformers' own integrations keep what they keep on this disk where the stages' lie.

    They take it from variables of the environment alone, of which those that the user has set stay.
    """
    place = folder.root.resolve() / FOLDER
    wanted = {"TENSORBOARD_LOGGING_DIR": place / f"train-{iteration}", "WANDB_DIR": place, "WANDB_PROJECT": PROJECT}
    new = {name: str(value) for name, value in wanted.items() if names and name not in os.environ}
    if new:
        place.mkdir(exist_ok=True)
    os.environ.update(new)
    if "wandb" in sys.modules:
        sys.modules["wandb"].teardown()  # it reads them as its session begins, which was at the first stage
    try:
        yield
    finally:
        for name in new:
            os.environ.pop(name, None)


def require_trackers(key: str, names: Sequence[str]) -> None:
    """Raise ConfigError for a tracker that there is not, or whose package is not installed."""
    for name in names:
        if name not in TRACKERS:
            raise ConfigError(f"{key}: there is no tracker {name!r}; known are {', '.join(TRACKERS)}")
        if find_spec(name) is None:
            raise ConfigError(f"{key}: this needs the package {name}: pip install {name}")


def numbers(stage: Stage, seconds: float) -> Iterator[tuple[str, float]]:
    """What a stage leaves in numbers, by names such as `triples/rejected/equal_replies`."""
    leaf = stage.name.rpartition("/")[2]
    yield f"{leaf}/seconds", seconds
    facts = {name: value for name, value in stage.facts.items() if name != "rejected" or "reasons" not in stage.facts}
    renamed = {"reasons": "rejected", "values": "rows"}
    for name, value in facts.items():
        yield from _flat(f"{leaf}/{renamed.get(name, name)}", value)
    for asker, used in stage.used.items():
        tokens, asking = used["prompt_tokens"] + used["completion_tokens"], used["seconds"]
        known = {"requests": used["requests"], "tokens": tokens, "cost": used["cost"]}
        known |= {"tokens_per_second": tokens / asking} if asking else {}
        yield from _flat(f"{leaf}/{_kind(asker)}", known)
    with suppress(OSError):
        for place, step in enumerate(Funnel.read(stage.folder / "funnel.json").steps if leaf == "filter" else ()):
            yield f"filter/kept/{place + 1}_{step.filter}", step.kept


def iteration_of(stage: Stage) -> int:
    """The iteration that a stage is of; 0 where it is of none."""
    part = stage.name.split("/")[1:2]
    return int(part[0]) if stage.name.startswith("iterations/") and part[0].isdecimal() else 0


def _kind(asker: str) -> str:
    return asker.rpartition(" ")[0] if asker.rpartition(" ")[2].isdecimal() else asker.replace(" ", "_")


def _flat(name: str, value: Any) -> Iterator[tuple[str, float]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _flat(f"{name}/{key}", inner)
    elif isinstance(value, int | float) and isfinite(value):
        yield name, float(value)


def _tensorboard(folder: RunFolder, values: Mapping[str, float], iteration: int, config: Mapping[str, Any]) -> None:
    # A writer for each stage: it holds a file and a thread, and stages may be hours apart.
    writer = import_module("torch.utils.tensorboard").SummaryWriter(str(folder.root / FOLDER))
    try:
        for name, value in values.items():
            writer.add_scalar(name, value, iteration)
    finally:
        writer.close()


def _online(module: str) -> Tracker:
    """Weights & Biases and what is called like it: one run of theirs for a run folder, gone on with at each stage."""

    def tell(folder: RunFolder, values: Mapping[str, float], iteration: int, config: Mapping[str, Any]) -> None:
        tracker, root = import_module(module), folder.root.resolve()
        place: dict[str, Any] = {"name": f"{root.name}-{digest(str(root))[:6]}"}
        if module == "wandb":
            (root / FOLDER).mkdir(exist_ok=True)
            place = {"name": root.name, "id": digest(str(root))[:12], "dir": str(root / FOLDER)}
            place["settings"] = {"quiet": True}  # it is begun and ended for each stage, with a summary each time
        project = os.environ.get(f"{module.upper()}_PROJECT", PROJECT)
        tracker.init(project=project, resume="allow", config=dict(config), **place)
        try:
            tracker.log({**values, "iteration": iteration})
        finally:
            tracker.finish()

    return tell


TRACKERS: Mapping[str, Tracker] = {
    "tensorboard": _tensorboard,
    "wandb": _online("wandb"),
    "trackio": _online("trackio"),
}
"""By the name of the package that it needs."""


def _own_errors(name: str) -> Iterator[type[Exception]]:
    """What a tracker's package calls its errors."""
    with suppress(ImportError):
        for error in (getattr(import_module(name), called, None) for called in ("Error", "TrackioError")):
            if isinstance(error, type) and issubclass(error, Exception):
                yield error
