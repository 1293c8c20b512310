"""What a run reads on this disk, and what it writes into its folder: known before it begins."""

from collections.abc import Sequence

from factory.commands.audit import AUDITED
from factory.commands.filter import FILTERED
from factory.commands.report import BY as REPORT_BY
from factory.commands.report import REPORT
from factory.commands.train import TRAINED
from factory.config import Config
from factory.exports.hub import require_free as require_free_on_hub
from factory.readers.places import places
from factory.store import RunFolder
from factory.store.outputs import tables_of

RUN = "run"
"""What wrote a run folder's own two files."""
HEAD = ("config.yaml", "run.json")
TABLES = ("features", "contrast", "triples", "scores")
"""Stages of an iteration that make a table."""


def inputs_of(config: Config) -> list[str]:
    """What a run reads on this disk: prompts, pairs to mix in, benchmarks' prompts, the policy's folder."""
    export = config.export
    found: list[str] = [str(path) for path in places(config.prompts.paths, table="prompts.parquet")]
    return [*found, *(mixed.path for mixed in export.mix), *export.decontaminate, config.policy.model]


def require_free(folder: RunFolder, config: Config) -> None:
    """Raise ConfigError where something that the run did not write stands where it will, at any stage or on the Hub."""
    folder.record.require_free(HEAD, RUN, changed_too=False)
    folder.record.require_free([REPORT], REPORT_BY, changed_too=False)
    there = [path.name for path in (folder.root / "iterations").glob("*") if path.name.isdecimal()]
    numbers = sorted({*map(str, range(1, config.run.iterations + 1)), *there})
    stages: dict[str, Sequence[str]] = {"prompts": tables_of("prompts"), "filtered/filter": FILTERED}
    for number in numbers:
        stages |= {f"iterations/{number}/{name}": tables_of(name) for name in TABLES}
        stages |= {f"iterations/{number}/train": TRAINED} if config.training.method != "none" else {}
    stages |= {"audit/audit": AUDITED} if config.audit.judge else {}
    stages |= {f"exports/{name}": (f"{name}/",) for name in config.export.formats}
    for name, makes in stages.items():
        folder.require_free(name, makes)
    repo, pushed = config.export.push_to_hub, folder.root / "exports/push.manifest.json"
    if repo is not None and not pushed.is_file():
        require_free_on_hub(repo, config.export.formats[0], private=config.export.private)
