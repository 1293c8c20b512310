"""`reproduce`: the run behind an export's card carried out again, and which of its pairs came."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import factory
import principles
from factory.config import Config
from factory.config.load import load_config, override
from factory.errors import ConfigError, EngineError, InputError
from factory.exports.card.recorded import Recorded, pair_ids, recorded
from factory.exports.destinations.write import README
from factory.exports.facts.public import public_name, without
from factory.exports.facts.recipe import mixed_in, model_of
from factory.identity import versions
from factory.line.run_files import HEAD
from factory.models.ref import ModelRef
from factory.pipeline import run
from factory.progress import Progress
from factory.readers import fetched_once, fingerprint
from factory.runs.forecast import Plan, plan
from factory.stages.asked_models import asked_models, judge_ref, remote_models
from factory.store.ownership import require_apart
from principles import template_of

_SOME = 5
_SAMPLED = "an API does not promise the same answer twice, so that other pairs are no sign of a fault"
_LEFT_OUT = ("report_to", "cache_dir", "push_to_hub")
"""A repetition tells no tracker, takes no answer over from an earlier run, and is not pushed."""


class Reproduction(NamedTuple):
    """Which pairs of an export came again, when its run was carried out anew."""

    card: Path
    run: Path
    """Folder of the new run."""
    identical: bool
    """Whether exactly the same pairs came."""
    same: int
    missing: int
    new: int
    missing_pairs: list[str]
    """Some of the pairs that did not come again."""
    new_pairs: list[str]
    """Some of the pairs that the card's export does not hold."""
    notes: list[str]
    """What differs from then, or cannot be the same, in sentences."""

    @property
    def difference(self) -> str | None:
        """In a sentence, why this is no reproduction; None where it is one."""
        if self.identical:
            return None
        counts = f"{self.missing:,} pairs of the card did not come again and {self.new:,} others came"
        why = self.notes[-1] if self.notes else "hold inputs, engine and versions against the card's"
        return f"{self.card}: {counts}; {why}"


@fetched_once()
def reproduce(
    card: str | Path,
    out: str | Path | None = None,
    *,
    sets: Sequence[str] = (),
    dry_run: bool = False,
    progress: Progress | None = None,
) -> Reproduction | Plan:
    """Carry out anew, in the run folder `out`, what the card of an export records, and compare the pair_ids.

    `card` is README.md of an export of a run, or its folder. Where that lies in its run folder, the run's own
    configuration says where prompts and servers are; otherwise `sets` does, as `key.path=value`. Nothing is asked
    before every input is found to be the one that was read then. The folder is NAME-reproduced where `out` is left out.
    `dry_run` holds the inputs against the card all the same, and returns what the run would ask and cost, as `plan`.
    InputError or ConfigError for a card that lacks what is needed, an input that is another one, or an engine that
    cannot be reached.
    """
    found = recorded(Path(card))
    root = Path(out) if out is not None else Path(f"{found.folder.resolve().name}-reproduced")
    config = _config(found, sets)
    require_apart(root, [found.folder])
    _same_inputs(found, config)
    if dry_run:
        if progress:
            progress.say(_would(found, config, root))
        return plan(config, root)
    try:
        made = run(config, root, progress=progress)
    except EngineError as error:
        # Prompts are made with the engine open: what fails after them is the run, not the engine that the card names.
        if (root / "prompts.manifest.json").is_file():
            raise
        raise ConfigError(f"the engine that the card names cannot be used: {error}") from error
    came = pair_ids(made.root / "exports" / found.format)
    missing, new = sorted(found.pair_ids - came), sorted(came - found.pair_ids)
    identical, same = not missing and not new, len(came & found.pair_ids)
    notes = list(_notes(found, config, identical=identical))
    counts = (same, len(missing), len(new), missing[:_SOME], new[:_SOME])
    return Reproduction(Path(card), made.root, identical, *counts, notes)


def _config(found: Recorded, sets: Sequence[str]) -> Config:
    """What is to be run: by the run's own configuration where the export lies in its folder, else by the card."""
    folder = found.folder.resolve()
    run_folder = folder.parent.parent
    if folder.parent.name == "exports" and all((run_folder / name).is_file() for name in HEAD):
        values = load_config(run_folder / HEAD[0]).model_dump(mode="json")
        # A card leaves paths out; those of this run's own configuration lead to the same files.
        at_hand = {key: values["export"][key] for key in ("mix", "decontaminate")}
        values = without({**values, "audit": {}, "export": found.config["export"] | at_hand}, *_LEFT_OUT)
        return override(values, sets, Config, str(run_folder / HEAD[0]))
    given = [text.partition("=")[0].strip() for text in sets]
    unsaid = [key for key in found.unsaid if not any(f"{key}.".startswith(f"{one}.") for one in given)]
    if unsaid:
        raise ConfigError(
            f"{found.folder}: the card does not tell {' and '.join(unsaid)}, as paths and servers are private; "
            f"give {' '.join(f'--set {key}=…' for key in unsaid)}"
        )
    return override(found.config, sets, Config, f"{found.folder}/{README}")


def _same_inputs(found: Recorded, config: Config) -> None:
    """Raise InputError for the first input that is not there, or is not what was read for the card."""
    now = _inputs(config)
    for name, was in found.inputs.items():
        if now.get(name) != was:
            has = f"has the fingerprint {now[name]}" if name in now else "is missing"
            raise InputError(
                f"{found.folder}: {name} {has}, where the card was made with {was}; give what was read then, "
                "under the name that it had"
            )


def _inputs(config: Config) -> dict[str, str]:
    """What the stages of a run name in their manifests as read, for `config` and the files as they are now."""
    judged = {judge.name: judge_ref(judge, config.engine).fingerprint for judge in config.judges}
    others = {"weak": config.pairs.weaker, "by": config.pairs.by}
    return {
        "prompts": fingerprint(config.prompts.paths, table="prompts.parquet"),
        "policy": public_name(ModelRef.by_content(config.policy.model).identity),
        "principles": principles.load(config.principles.set).digest,
        **{f"judge {judge.name}": template_of("judge", judge.template).digest for judge in config.judges},
        **{model_of(name): known for name, known in judged.items() if known},
        **{f"pairs.{key}": public_name(ModelRef.by_content(model).identity) for key, model in others.items() if model},
        **mixed_in(config.export),
    }


def _would(found: Recorded, config: Config, root: Path) -> str:
    """What is to be run, in a sentence."""
    asked = ", ".join(f"{one.key} {one.ref.called} by {one.block.kind}" for one in asked_models(config))
    rounds = f"{config.run.iterations} iteration{'s' * (config.run.iterations > 1)}"
    inputs = f"all {len(found.inputs)} inputs are those of the card"
    return (
        f"would be run in {root}: {rounds} for the {len(found.pair_ids):,} pairs of {found.format}; {asked}; {inputs}"
    )


def _notes(found: Recorded, config: Config, *, identical: bool) -> Iterator[str]:
    here = {"sso_factory": factory.__version__, **versions()}
    was_is = [(name, was, here.get(name, "none")) for name, was in found.versions.items()]
    other = [f"{name} {was}, now {now}" for name, was, now in was_is if was != now]
    if other:
        yield f"made by other versions: {'; '.join(other)}"
    if not identical and remote_models(config):
        yield _SAMPLED
