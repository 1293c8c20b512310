"""The export on the Hub: pushed once, and again when the export, the place or its being private changed."""

from typing import Any

from factory.exports.destinations.hub import push
from factory.line.steps import Facts, Steps
from factory.store import Stage, Workspace


def inputs(steps: Steps, export: Stage) -> Facts:
    """What is pushed, and where."""
    config = steps.config.export
    return {"export": export.digest, "repository": config.push_to_hub, "private": config.private}


def make(steps: Steps, work: Workspace, export: Stage) -> dict[str, Any]:
    """Facts alone: its address."""
    config, place = steps.config.export, export.folder / export.name.rsplit("/", 1)[-1]
    # As a text: a run without a place has no such stage, which types cannot know.
    address = push(place, str(config.push_to_hub), private=config.private, progress=steps.folder.progress)
    return {"address": address}
