"""`train`: train a policy offline on any pair file, annotated by people or kept by the filters."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from factory import training
from factory.config import Training
from factory.engine_blocks import TransformersEngine
from factory.engines.base import ModelRef
from factory.identity import DEFAULT_SEED
from factory.load import override
from factory.progress import Progress, Silent
from factory.readers import PairsLike, fingerprint, read_pairs
from factory.store import Workspace, open_run

ANNOTATED = Training(method="annotated")


class Trained(NamedTuple):
    """A trained policy and how its training went."""

    policy: Path
    facts: dict[str, Any]


def train(
    pairs: PairsLike | Sequence[PairsLike],
    policy: str,
    out: str | Path,
    *,
    config: Training = ANNOTATED,
    sets: Sequence[str] = (),
    seed: int = DEFAULT_SEED,
    progress: Progress | None = None,
) -> Trained:
    """Train `policy` (Hub id, folder, bundled:…) on pairs; the new policy is the folder OUT/policy.

    The default method is `annotated`, the base loss alone, which any pair file serves; the SSO methods need the
    columns system_good, system_bad and original. `sets` are KEY=VALUE overrides of the training block. Training that
    was killed goes on from its last checkpoint.
    """
    shown = progress or Silent()
    settings = override(config.model_dump(), sets, Training)
    split = read_pairs(pairs)

    def build(work: Workspace) -> dict[str, Any]:
        table = split.kept.collect()
        unread = len(split.rejected.collect())
        facts = training.trainer(TransformersEngine())(
            table, ModelRef(policy), work.path, settings, seed=seed, iteration=None, progress=shown
        )
        return {**facts, "unread": unread}

    inputs = {
        "pairs": fingerprint(pairs),
        "policy": policy,
        "training": settings.model_dump(mode="json", exclude=training.SAME_WEIGHTS),
        "seed": seed,
    }
    with open_run(Path(out), shown) as folder:
        stage = folder.stage("train", inputs, build)
    return Trained(stage.folder / "policy", dict(stage.facts))
