"""`principles`: modified PBAA, the paper's way: a feature is named, two principles steer the replies."""

from factory.line.steps import IterationTables, Steps
from factory.line.steps.generator import data_generator
from factory.models.ref import ModelRef
from factory.store import Stage


def make(steps: Steps, prompts: Stage, policy: ModelRef, iteration: int) -> IterationTables:
    """y+ under the good principle, y- under the bad one, y° under neither, by the policy or its data generator."""
    features = steps.make("features", prompts, policy, iteration)
    contrast = steps.make("contrast", prompts, features, policy, iteration)
    writer = data_generator(steps, prompts, contrast, policy, iteration)
    return IterationTables(steps.make("triples", prompts, contrast, writer, iteration), (features, contrast))
