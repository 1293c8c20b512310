"""`principles`: modified PBAA, the paper's way: a feature is named, two principles steer the replies."""

from factory.line.steps import IterationTables, Steps
from factory.models.ref import ModelRef
from factory.store import Stage


def make(steps: Steps, prompts: Stage, policy: ModelRef, iteration: int) -> IterationTables:
    """y+ under the good principle, y- under the bad one, y° under neither."""
    features = steps.make("features", prompts, policy, iteration)
    contrast = steps.make("contrast", prompts, features, policy, iteration)
    return IterationTables(steps.make("triples", prompts, contrast, policy, iteration), (features, contrast))
