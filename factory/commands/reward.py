"""`reward`: reward models trained on any pairs, and measured on RewardBench or any pairs."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from statistics import fmean, stdev
from typing import Any, NamedTuple, Unpack

from factory.config.load import as_config, override
from factory.errors import ConfigError
from factory.files import PathLike
from factory.identity import DEFAULT_SEED
from factory.models.ref import ModelRef
from factory.progress import Progress, Silent
from factory.readers import PairsLike, ReadOptions, fetched_once, fingerprint, how_to_read
from factory.readers.inputs.on_disk import places
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


@fetched_once()
def reward_train(
    pairs: PairsLike,
    model: str,
    out: PathLike,
    *,
    config: RewardTraining | Mapping[str, Any] | None = None,
    sets: Sequence[str] = (),
    seed: int = DEFAULT_SEED,
    seeds: Sequence[int] = (),
    progress: Progress | None = None,
    **reading: Unpack[ReadOptions],
) -> RewardTrained:
    """Train a reward model on pairs of any layout; it is the folder OUT/model.

    `model` (Hub id, folder, bundled:…) is the language model it begins with. The folder is one that transformers'
    AutoModelForSequenceClassification loads, with reward.json beside: the facts of the training, with the accuracy on
    the test split. That is the one an exported folder has, else `test_share` of the prompts. `sets` are KEY=VALUE
    overrides. Training that was killed goes on from its last checkpoint. `columns`, `layout`, `pairing` and
    `skip_unreadable` say how to read the pairs.

    With `seeds` one model is trained for each of them, in OUT/seed-N, in place of the one for `seed`: the facts are
    where they lie and what they reached, with mean and deviation.
    """
    # This very function for each seed, so that each is a stage of its own, done or gone on with by itself.
    if seeds:
        if seed != DEFAULT_SEED:
            raise ConfigError("seeds names the seed of each model; leave seed out")
        return _several(seeds, Path(out), partial(reward_train, pairs, model, config=config, sets=sets,
                                                  progress=progress, **reading))  # fmt: skip
    alone("reward train")
    shown = progress or Silent()
    settings = override(as_config(config or {}, RewardTraining).model_dump(), sets, RewardTraining, "reward train")
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


def _several(seeds: Sequence[int], out: Path, train: Callable[..., RewardTrained]) -> RewardTrained:
    """A model of each seed; each goes on by itself where it was stopped."""
    if len({*seeds}) < len(seeds):
        raise ConfigError("name each seed once")
    done = {seed: train(out / f"seed-{seed}", seed=seed) for seed in seeds}
    # No test split is no accuracy, which is null; one deviation takes two models at least.
    tests = [one.facts["test"] for one in done.values()]
    reached = [test["accuracy"] for test in tests if test and test["accuracy"] is not None]
    facts = {
        "models": {str(seed): str(one.model) for seed, one in done.items()},
        "pairs": {str(seed): one.facts["pairs"] for seed, one in done.items()},
        "steps": {str(seed): one.facts["steps"] for seed, one in done.items()},
        "test_accuracy": {str(seed): (one.facts["test"] or {}).get("accuracy") for seed, one in done.items()},
        "test_accuracy_mean": fmean(reached) if reached else None,
        "test_accuracy_deviation": stdev(reached) if len(reached) > 1 else None,
    }
    return RewardTrained(out, facts)


@fetched_once()
def reward_score(
    pairs: PairsLike,
    model: str | Sequence[str],
    out: PathLike,
    *,
    benchmark: str = "auto",
    group: str | None = None,
    config: RewardScoring | Mapping[str, Any] | None = None,
    sets: Sequence[str] = (),
    seed: int = DEFAULT_SEED,
    progress: Progress | None = None,
    **reading: Unpack[ReadOptions],
) -> RewardScored:
    """Score pairs with the reward model `model`, or several as one, and count how often the right reply wins.

    `pairs` are the official files of a benchmark (a name in `factory.reward.items.BENCHMARKS`), told apart by their
    columns, or any pairs; `group` is a column of those by which they are counted apart. OUT/score.json has the result,
    OUT/scores.parquet the score of every reply. `sets` are KEY=VALUE overrides. Raises EngineError when `model` is no
    reward model.
    `columns`, `layout`, `pairing` and `skip_unreadable` say how to read pairs.
    """
    alone("reward score")
    shown = progress or Silent()
    settings = override(as_config(config or {}, RewardScoring).model_dump(), sets, RewardScoring, "reward score")
    how = how_to_read(reading)
    names = [model] if isinstance(model, str) else list(model)
    require_apart(Path(out), [*places(pairs), *names])
    refs = [ModelRef.by_content(name) for name in names]
    # By what they hold: rm and rm/ are one model, and of it with itself there is no deviation.
    if not refs or len({ref.identity for ref in refs}) < len(refs):
        raise ConfigError("name at least one reward model, and each of them once")
    called: str | list[str] = names[0] if len(names) == 1 else names

    def build(work: Workspace) -> dict[str, Any]:
        found = read_items(pairs, benchmark, group, how, shown)
        # By name, and only where there is something to do: torch takes seconds to load.
        measure = with_extra("factory.reward.score:measure", "reward")
        scores, result = measure(found, refs, settings, seed, work.journal, shown)
        scores.write_parquet(work.path / SCORES)
        write_json(work.path / RESULT, {"model": called, **result})
        return {"model": called, **result}

    inputs = {
        "pairs": fingerprint(pairs),
        # One alone as ever: a list of one would make anew what was scored before several could be given.
        "model": refs[0].identity if len(refs) == 1 else [ref.identity for ref in refs],
        "benchmark": benchmark,
        "group": group,
        "scoring": settings.model_dump(mode="json"),
        "seed": seed,
        **how.fingerprint(),
    }
    with open_run(Path(out), shown) as folder:
        stage = folder.stage("score", inputs, build, (SCORES, RESULT))
    return RewardScored(stage.folder, dict(stage.facts))
