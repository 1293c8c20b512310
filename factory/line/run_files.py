"""What a run reads on this disk, and what it writes into its folder: known before it begins."""

from collections.abc import Mapping
from typing import Any

from factory.commands.report import BY as REPORT_BY
from factory.commands.report import REPORT
from factory.config import Config
from factory.exports.destinations.hub import require_free as require_free_on_hub
from factory.files.json_text import read_object
from factory.readers.inputs.on_disk import places
from factory.readers.reading import Reading
from factory.stages import STAGES, stages_of
from factory.store import RunFolder
from factory.store.outputs import json_text

RUN = "run"
"""What wrote a run folder's own two files."""
HEAD = ("config.yaml", "run.json")
READING = "reading"


def inputs_of(config: Config) -> list[str]:
    """What a run reads on this disk: prompts, pairs to mix in, benchmarks' prompts, the policy's folder."""
    export = config.export
    # A Hub id or a bundled model is none of them, and does no harm: no run folder lies inside it.
    found: list[str] = [str(path) for path in places(config.prompts.paths, table="prompts.parquet")]
    return [*found, *(mixed.path for mixed in export.mix), *export.decontaminate, config.policy.model]


def write_head(folder: RunFolder, config: Config, facts: Mapping[str, Any]) -> None:
    """A run folder's own two files; how the prompts were read, as a stage done before has it, stays."""
    import yaml

    resolved: dict[str, Any] = config.model_dump(mode="json")
    folder.record.put(HEAD[0], yaml.safe_dump(resolved, sort_keys=False, allow_unicode=True), RUN)
    # Kept, as a run that finds its prompts read before does not read them again.
    read = {name: value for name, value in read_object(folder.root / HEAD[1]).items() if name == READING}
    folder.record.put(HEAD[1], json_text({**facts, "config": resolved, **read}), RUN)


def note_reading(folder: RunFolder, reading: Reading) -> None:
    """Say how the prompts were read, and keep it in run.json; a folder that is no run's has none."""
    for line in reading.lines():
        folder.progress.say(line)
    if head := read_object(folder.root / HEAD[1]):
        folder.record.put(HEAD[1], json_text({**head, READING: reading.to_dict()}), RUN)


def require_free(folder: RunFolder, config: Config) -> None:
    """Raise ConfigError where something that the run did not write stands where it will, at any stage or on the Hub."""
    folder.record.require_free(HEAD, RUN, changed_too=False)
    folder.record.require_free([REPORT], REPORT_BY, changed_too=False)
    # Rounds beyond the iterations are folders too, and how many there will be nobody knows yet.
    there = [path.name for path in (folder.root / "iterations").glob("*") if path.name.isdecimal()]
    numbers = sorted({*map(str, range(1, config.run.iterations + 1)), *there})
    for stage, of in stages_of(config, numbers):
        folder.require_free(stage.path(of), stage.files(of))
    repo, pushed = config.export.push_to_hub, folder.root / f"{STAGES['push'].path()}.manifest.json"
    if repo is not None and not pushed.is_file():
        # Asked at the beginning too: a data set of somebody else's there would end the run when all is paid for.
        require_free_on_hub(repo, config.export.formats[0], private=config.export.private)
