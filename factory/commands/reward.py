"""`reward`: reward models trained on any pairs, and measured on RewardBench or any pairs."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Unpack

from factory.config.load import override, settled
from factory.identity import DEFAULT_SEED
from factory.models.ref import ModelRef
from factory.progress import Progress, Silent
from factory.readers import PairsLike, ReadOptions, fingerprint, how_to_read
from factory.readers.places import places
from factory.reward.config import SAME_WEIGHTS, RewardScoring, RewardTraining
from factory.reward.data import read_data
from factory.reward.items import read_items
from factory.store import Workspace, open_run, write_json
from factory.store.ownership import require_apart
from factory.training import with_extra
from factory.training.processes import alone

MODEL, SCORES, RESULT = "model", "scores.parquet", "score.json"


class RewardTrained(NamedTuple):
    """A reward model and how its training went."""

    model: Path
    facts: dict[str, Any]


class RewardScored(NamedTuple):
    """What a reward model reached; `folder` holds score.json, which is `result`, and scores.parquet."""

    folder: Path
    result: dict[str, Any]


def reward_train(
    pairs: PairsLike | Sequence[PairsLike],
    model: str,
    out: str | Path,
    *,
    config: RewardTraining | Mapping[str, Any] | None = None,
    sets: Sequence[str] = (),
    seed: int = DEFAULT_SEED,
    progress: Progress | None = None,
    **reading: Unpack[ReadOptions],
) -> RewardTrained:
    """Train a reward model on pairs of any layout; it is the folder OUT/model.

    `model` (Hub id, folder, bundled:…) is the language model it begins with. The folder is one that transformers'
    AutoModelForSequenceClassification loads, with reward.json beside: the facts of the training, with the accuracy on
    the test split. That is the one an exported folder has, else `test_share` of the prompts. `sets` are KEY=VALUE
    overrides. Training that was killed goes on from its last checkpoint. `columns`, `layout`, `pairing` and
    `skip_unreadable` say how to read the pairs.
    """
    alone("reward train")
    shown = progress or Silent()
    settings = override(settled(config or {}, RewardTraining).model_dump(), sets, RewardTraining)
    how = how_to_read(reading)

    require_apart(Path(out), [*places(pairs), model])
    ref = ModelRef.by_content(model)

    def build(work: Workspace) -> dict[str, Any]:
        data = read_data(pairs, settings.test_share, seed, how, shown)
        made: dict[str, Any] = with_extra("factory.reward.train:train", "reward")(
            data, ref, work.path, settings, seed=seed, progress=shown
        )
        return made

    inputs = {
        "pairs": fingerprint(pairs),
        "model": ref.identity,
        "training": settings.model_dump(mode="json", exclude=SAME_WEIGHTS),
        "seed": seed,
        **how.fingerprint(),
    }
    with open_run(Path(out), shown) as folder:
        stage = folder.stage("reward", inputs, build, (f"{MODEL}/", "metrics.jsonl"))
    return RewardTrained(stage.folder / MODEL, dict(stage.facts))


def reward_score(
    pairs: PairsLike | Sequence[PairsLike],
    model: str,
    out: str | Path,
    *,
    benchmark: str = "auto",
    group: str | None = None,
    config: RewardScoring | Mapping[str, Any] | None = None,
    sets: Sequence[str] = (),
    seed: int = DEFAULT_SEED,
    progress: Progress | None = None,
    **reading: Unpack[ReadOptions],
) -> RewardScored:
    """Score pairs with the reward model `model` and count how often the right reply wins.

    `pairs` are the official files of RewardBench or RewardBench 2, told apart by their columns, or any pairs; `group`
    is a column of those by which they are counted apart. OUT/score.json has the result, OUT/scores.parquet the score of
    every reply. `sets` are KEY=VALUE overrides. Raises EngineError when `model` is no reward model.
    `columns`, `layout`, `pairing` and `skip_unreadable` say how to read pairs.
    """
    alone("reward score")
    shown = progress or Silent()
    settings = override(settled(config or {}, RewardScoring).model_dump(), sets, RewardScoring)
    how = how_to_read(reading)

    require_apart(Path(out), [*places(pairs), model])
    ref = ModelRef.by_content(model)

    def build(work: Workspace) -> dict[str, Any]:
        found = read_items(pairs, benchmark, group, how, shown)
        measure = with_extra("factory.reward.score:measure", "reward")
        scores, result = measure(found, ref, settings, seed, work.journal, shown)
        scores.write_parquet(work.path / SCORES)
        write_json(work.path / RESULT, {"model": model, **result})
        return {"model": model, **result}

    inputs = {
        "pairs": fingerprint(pairs),
        "model": ref.identity,
        "benchmark": benchmark,
        "group": group,
        "scoring": settings.model_dump(mode="json"),
        "seed": seed,
        **how.fingerprint(),
    }
    with open_run(Path(out), shown) as folder:
        stage = folder.stage("score", inputs, build, (SCORES, RESULT))
    return RewardScored(stage.folder, dict(stage.facts))
