"""The data generator of an iteration: what the SSO loss makes of the policy, to write the pairs it is trained on."""

import shutil
from typing import Any

from factory.line.steps import Facts, Steps
from factory.line.steps.train import train, trained, what_decides
from factory.models.ref import ModelRef
from factory.store import Stage, Workspace

FOLDER = "generator"


def data_generator(steps: Steps, prompts: Stage, contrast: Stage, policy: ModelRef, iteration: int) -> ModelRef:
    """Who writes the pairs of an iteration: the policy, or what is trained on drafts of its where it is to be apart."""
    if not steps.has("generator"):
        return policy
    drafts = steps.make("drafts", prompts, contrast, policy, iteration)
    scores = steps.make("draft_scores", drafts, policy, iteration)
    if not scores.facts["rows"]:
        steps.folder.progress.say(f"iterations/{iteration}/generator: no pairs to train on, the policy writes itself")
        return policy
    stage = steps.make("generator", drafts, scores, policy, iteration)
    return trained(steps, policy, stage, stage.folder / FOLDER, f"generator-{iteration}")


def inputs(steps: Steps, drafts: Stage, scores: Stage, policy: ModelRef, iteration: int) -> Facts:
    """What decides the generator's weights."""
    return what_decides(steps, drafts, policy, steps.config.training.of_generator)


def make(
    steps: Steps, work: Workspace, drafts: Stage, scores: Stage, policy: ModelRef, iteration: int
) -> dict[str, Any]:
    """In a folder of its own, beside the policy's of the same iteration."""
    out = work.path / FOLDER
    out.mkdir(exist_ok=True)
    facts = train(steps, out, scores, policy, iteration, steps.config.training.of_generator)
    # Checkpoints and the like: the store drops what is hidden at the top of a stage's folder, not further in.
    for scratch in out.glob(".*"):
        shutil.rmtree(scratch) if scratch.is_dir() else scratch.unlink()
    return facts
