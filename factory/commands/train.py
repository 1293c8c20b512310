"""`train`: train a policy offline on any pair file, annotated by people or kept by the filters."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Unpack

import polars as pl

from factory import training
from factory.config import Training
from factory.config.engines import TransformersEngine
from factory.config.load import override
from factory.errors import ConfigError
from factory.files import PathLike
from factory.identity import DEFAULT_SEED
from factory.models.ref import ModelRef
from factory.progress import Progress, Silent
from factory.readers import How, PairsLike, ReadOptions, fetched_once, fingerprint, how_to_read, read_pairs
from factory.readers.inputs.on_disk import places
from factory.readers.inputs.splits import splits, without_tests
from factory.readers.told import read_and_tell, tell_set_aside
from factory.stages import STAGES
from factory.store import Stage, Workspace, open_run
from factory.store.ownership import require_apart
from factory.training import TrainingJob
from factory.training.passing import deciding
from factory.training.processes import ProcessGroup, lost, rank, world

ANNOTATED = Training(method="annotated")


class Trained(NamedTuple):
    """A trained policy and how its training went."""

    policy: Path
    facts: dict[str, Any]


@fetched_once()
def train(
    pairs: PairsLike,
    policy: str,
    out: PathLike,
    *,
    config: Training | Mapping[str, Any] = ANNOTATED,
    sets: Sequence[str] = (),
    seed: int = DEFAULT_SEED,
    progress: Progress | None = None,
    **reading: Unpack[ReadOptions],
) -> Trained:
    """Train `policy` (Hub id, folder, bundled:…) on pairs; the new policy is the folder OUT/policy.

    The default method is `annotated`, the base loss alone, which any pair file serves; the SSO methods need the
    columns system_good, system_bad and original. What a folder or data set has by the name of test, validation, dev or
    eval is left out, and said. `sets` are KEY=VALUE overrides of the training block. Training that
    was killed goes on from its last checkpoint. Under `accelerate launch` every process makes the same call; process 0
    alone holds `out`, which all must see under the same path. `columns`, `layout`, `pairing` and `skip_unreadable` say
    how to read the pairs.
    """
    how = how_to_read(reading)
    # A mapping says what differs from this command's own default, not from the block's.
    base = ANNOTATED.model_dump() | dict(config) if isinstance(config, Mapping) else config.model_dump()
    settings = override(base, sets, Training, "train")
    if settings.launch and world() > 1:
        raise ConfigError("training.launch starts processes, and this is one of several; give one or the other")
    group = ProcessGroup()
    shown = Silent() if rank() else progress or Silent()
    # Its pairs are put in once they are read.
    job = TrainingJob(pl.DataFrame(), ModelRef.by_content(policy), Path(out), settings, seed, progress=shown)
    if rank():
        # The folder is announced by process 0 once it holds the lock; none where the stage was done before.
        work = group.wait()
        facts = {}
        if work is not None:
            # In silence: process 0 has told how the pairs are read.
            table = read_pairs(splits(pairs).train, how=how).kept.collect()
            facts = _trained(job._replace(pairs=table, out=work))
        return Trained(Path(out) / "policy", facts)
    with group.rank_zero_first():
        stage = _lead(group, pairs, how, job)
    return Trained(stage.folder / "policy", dict(stage.facts))


def _trained(job: TrainingJob) -> dict[str, Any]:
    """The facts of a training. Raises TrainingError when another process is gone."""
    try:
        return training.trainer(TransformersEngine(), job.config)(job)
    except RuntimeError as error:
        # torch tells of a process that is gone by a RuntimeError, as of much else.
        gone = lost(error)
        if gone is None:
            raise
        raise gone from error


def _lead(group: ProcessGroup, pairs: PairsLike, how: How, job: TrainingJob) -> Stage:
    require_apart(job.out, [*places(pairs), job.policy.name])
    split = read_and_tell(without_tests(pairs, job.progress).train, how, job.progress).pairs

    def build(work: Workspace) -> dict[str, Any]:
        table = split.kept.collect()
        reasons = split.reasons()
        tell_set_aside(reasons, job.progress)
        # Once it is read here: what is wrong with the files is said by this process alone.
        group.announce(work.path)
        return {**_trained(job._replace(pairs=table, out=work.path)), "unread": sum(reasons.values())}

    inputs = {
        "pairs": fingerprint(pairs),
        "policy": job.policy.identity,
        "training": deciding(job.config),
        "seed": job.seed,
        **how.fingerprint(),
    }
    with open_run(job.out, job.progress) as folder:
        return folder.stage("train", inputs, build, STAGES["train"].files())
