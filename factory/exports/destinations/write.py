"""Writing an export: a folder, with the head of its README.md, that `datasets.load_dataset(folder)` loads as it is."""

import json
import os
import re
import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import polars as pl
import yaml

from factory.config import Export
from factory.errors import InputError
from factory.exports import exporter
from factory.exports.base import Format, extra_columns, with_pairs_columns
from factory.exports.destinations.plan import ROW, ExportPlan, plan
from factory.exports.formats.llamafactory import dataset_info
from factory.progress import Progress, Silent
from factory.store.ownership import RECORD, Record

if TYPE_CHECKING:
    from factory.exports.destinations.shards import Shards

BATCH = 2_000
README = "README.md"
CROISSANT = "croissant.json"
INFO = "dataset_info.json"
_OURS = re.compile(r"(train|test)(-\d{5}-of-\d{5}\.parquet|\.json)")
BY = "export"
WRITING = ".writing"
TAGS = ("preference", "reward-model", "rlhf", "dpo", "sso-factory")
_SIZES = ("n<1K", "1K<n<10K", "10K<n<100K", "100K<n<1M", "1M<n<10M", "10M<n<100M", "100M<n<1B")
_TYPES: Mapping[type, str] = {pl.String: "string", pl.Int64: "int64", pl.Float64: "float64", pl.Boolean: "bool"}
"""What `json_columns` leaves, beside lists of it, to the name that `datasets` has for it."""
_PLACE, _FAR = "__place", 64
PLOTS = ("agreement", "funnel", "lengths", "likelihood")


def places_of(target: Format) -> list[str]:
    """What an export in a format may write, and what a reader would take for its data, README.md aside."""
    data = ["train.json", "test.json", "train/", "test/", INFO] if target.json else ["data/train-*", "data/test-*"]
    return [*data, CROISSANT, *(f"plots/{name}.png" for name in PLOTS)]


def places_in(names: Collection[str]) -> list[str]:
    """What a reader would take for data of an export that holds the files named."""
    return ["train.json", "test.json", "train/", "test/"] if INFO in names else ["data/train-*", "data/test-*"]


def require_free(out: Path, format: str) -> Record:
    """The record of `out`. ConfigError where something that is not an export's own stands in the way of one."""
    record = Record.read(out)
    own = [name for name in record.made_by(BY) if name != README]
    record.require_free([WRITING, *places_of(exporter(format)), *own], BY)
    return record


def exported(folder: Path) -> Iterator[Path]:
    """The files of an export, in order, with its record and any README.md; hidden ones, where it has no record."""
    names = set(Record.read(folder).made_by(BY))
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        ours = name.as_posix() in (*names, README, RECORD) if names else not any(p.startswith(".") for p in name.parts)
        if ours and path.is_file():
            yield path


def is_shard(name: str) -> bool:
    """Whether a name within an export's folder is one that an export gives to a data file."""
    folder, _, leaf = name.rpartition("/")
    return folder in ("", "data", "train", "test") and _OURS.fullmatch(leaf) is not None


class Exported(NamedTuple):
    """What was written, and what was not."""

    files: list[Path]
    rows: dict[str, int]
    """Rows by split, of which a pair may make several; a split without rows is absent."""
    left_out: dict[str, int]
    """Reason to number of pairs that the format cannot hold."""
    set_aside: int
    """Pairs beyond the one that a one-per-prompt format keeps."""
    renamed: dict[str, str]
    """The user's columns that had to give way to a name that trainers read."""
    columns: list[str]
    metadata: dict[str, object]
    """The head of README.md, for the card to add to."""
    pairs: pl.LazyFrame | None = None
    """The pairs that were written, where the files do not hold both replies of each in a row."""


def export(
    pairs: pl.LazyFrame | pl.DataFrame,
    format: str,
    out: Path,
    config: Export | None = None,
    seed: int = 42,
    progress: Progress | None = None,
) -> Exported:
    """Write `pairs` to the folder `out` in an export format, in shards, split by prompt.

    The rows keep the order of `pairs`. Files of an earlier export in `out` are replaced once the new ones are complete.
    Raises ConfigError for an unknown format or a foreign file in the way, InputError when no pair can be written.
    """
    options, said = config or Export(), progress or Silent()
    target, record = exporter(format), require_free(out, format)
    if options.keep_system and target.system_kept:
        target = replace(target, fields=target.system_kept)
    table = with_pairs_columns(pairs.lazy())
    # Which rows go where is decided before any is written: a narrow pass, after which the texts stream through once.
    todo = plan(table, target, options, seed)
    if not todo.counts:
        empty = "the table is empty; where it was filtered, funnel.json counts what each filter dropped"
        why = "; ".join(f"{n} left out: {reason}" for reason, n in todo.left_out.items()) or empty
        raise InputError(f"there is no pair to export as {format}: {why}")
    columns = extra_columns(table.collect_schema(), target.fields)
    # One array cannot be read in parts, so that beyond a shard it is Parquet.
    as_json = target.json and max(todo.counts.values()) <= options.shard_rows
    fields = [expression.alias(name) for name, expression in target.fields.items()]
    rows = table.select(*fields, *(pl.col(name).alias(new) for name, new in columns.items()))
    # Here, as pyarrow is not needed to look at what an export would be.
    from factory.exports.destinations.shards import Shards, json_columns

    rows = json_columns(rows) if as_json else rows
    # Of the rows as they will be: a part of a split may be empty, and its columns must still have types.
    schema = rows.explode(target.apart).collect_schema() if target.apart else rows.collect_schema()
    staging = staging_of(record)
    (staging / WRITING).mkdir()
    shards = {s: Shards(staging / WRITING, s, options.shard_rows, schema, json=as_json) for s in todo.counts}
    _write(rows, todo, shards, target.apart)
    counts = {split: made.rows for split, made in shards.items()}
    patterns = {s: f"{s}.json" if as_json else f"{s if target.json else 'data'}/{s}-*" for s in shards}
    head = metadata(patterns, sum(counts.values()), features(schema) if as_json else None)
    if target.json:
        info = dataset_info({split: pattern.partition("/")[0] for split, pattern in patterns.items()})
        (staging / INFO).write_text(json.dumps(info, indent=2) + "\n", encoding="utf-8")
    files = _publish({patterns[split]: made.paths for split, made in shards.items()}, front_matter(head), record)
    taken = table.with_row_index(ROW).join(todo.rows.lazy().select(ROW), on=ROW, how="semi").drop(ROW)
    held = None if set(target.replies) <= set(target.fields) else taken
    renamed = {name: new for name, new in columns.items() if name != new}
    result = Exported(files, counts, todo.left_out, todo.set_aside, renamed, schema.names(), head, held)
    _tell(result, target, options, said)
    return result


def _write(rows: pl.LazyFrame, todo: ExportPlan, shards: Mapping[str, "Shards"], apart: Sequence[str]) -> None:
    """Fill the shards of each split."""
    seen = 0
    spread = {name: _Spread(apart) for name in shards}
    # In order: the plan names rows by their number.
    for batch in rows.collect_batches(chunk_size=BATCH, maintain_order=True, engine="streaming"):
        wanted = todo.between(seen, seen + batch.height)
        for name, split in shards.items():
            mine = wanted.filter(wanted["test"] == (name == "test"))
            part = batch[mine[ROW] - seen]
            split.write(spread[name].add(part) if apart else part)
        seen += batch.height
    for name, split in shards.items():
        if apart:
            split.write(spread[name].held.drop(_PLACE))
        split.close()


class _Spread:
    """Pairs as rows, one for each value of the lists in `apart`, those of a pair `_FAR` pairs from one another.

    KTOTrainer takes a row's neighbour for a reply to another prompt.
    """

    def __init__(self, apart: Sequence[str]) -> None:
        self._apart, self._pairs = apart, 0
        self.held = pl.DataFrame()
        """Rows whose place is not reached."""

    def add(self, pairs: pl.DataFrame) -> pl.DataFrame:
        """The rows whose place is reached with `pairs`."""
        place = pl.int_range(pl.len()) + self._pairs
        each = pl.int_ranges(pl.col(self._apart[0]).list.len()) * _FAR + place
        rows = pairs.with_columns(each.alias(_PLACE)).explode([*self._apart, _PLACE])
        rows = pl.concat([self.held, rows] if self.held.width else [rows]).sort(_PLACE, maintain_order=True)
        self._pairs += pairs.height
        self.held = rows.filter(pl.col(_PLACE) >= self._pairs)
        return rows.filter(pl.col(_PLACE) < self._pairs).drop(_PLACE)


def staging_of(record: Record) -> Path:
    """An empty folder within the export's own, from which files are put in place by a rename and no copy."""
    # Claimed first, so that what a kill leaves there is known for our own and is no foreign file in the way.
    record.claim([WRITING], BY)
    staging = record.root / WRITING
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir(parents=True)
    return staging


def _publish(written: Mapping[str, list[Path]], head: str, record: Record) -> list[Path]:
    """Put everything in place; a README.md that somebody wrote or changed is left alone. Data files come first.

    `written`: the pattern that the names of a split's files fit, to its shards.
    """
    staging, data = record.root / WRITING, []
    for pattern, shards in written.items():
        for index, shard in enumerate(shards):
            # Names say how many shards there are, which is known only now.
            data.append(pattern.replace("*", f"{index:05d}-of-{len(shards):05d}.parquet"))
            (staging / data[-1]).parent.mkdir(exist_ok=True)
            shard.replace(staging / data[-1])
    (staging / WRITING).rmdir()
    if may_write(record, README):
        (staging / README).write_text(head, encoding="utf-8")
    made = record.publish(staging, record.root, BY).outputs
    return [record.root / name for name in dict.fromkeys((*data, *made))]


def may_write(record: Record, name: str) -> bool:
    """Whether the file is an export's own, or not there; one that somebody changed is theirs from now on."""
    # lexists, as a broken link is something that lies there.
    if not os.path.lexists(record.root / name) or record.owns(name, BY):
        return True
    record.disown(name)
    return False


def _tell(result: Exported, target: Format, options: Export, said: Progress) -> None:
    counts = " and ".join(f"{n} {split} rows" for split, n in result.rows.items())
    said.say(f"export {target.name}: {counts} in {len(result.files)} files")
    if result.set_aside:
        said.say(f"export {target.name}: one pair per prompt, {result.set_aside} further pairs are not in it")
    if options.test_share and "test" not in result.rows:
        said.say(f"export {target.name}: too few prompts for a test split, all are in train")
    if not any(path.name == README for path in result.files):
        said.say(f"export {target.name}: README.md is not the factory's, or was changed, and is left as it is")
    for reason, count in result.left_out.items():
        said.say(f"export {target.name}: {count} pairs left out: {reason}")
    for name, new in result.renamed.items():
        said.say(f"export {target.name}: your column {name} is written as {new}, as trainers read {name}")


def features(schema: pl.Schema) -> list[dict[str, Any]]:
    """The `features` entry for JSON files: a name and a type for each column."""
    # JSON has no types: `datasets` would take a column that is empty in its first rows for one of nulls.
    return [{"name": name, **_feature(kind)} for name, kind in schema.items()]


def _feature(kind: object) -> dict[str, Any]:
    if isinstance(kind, pl.List):
        inner = _feature(kind.inner)
        # As the Hub writes it: the bare name of a type in place of a mapping that holds nothing else.
        return {"sequence": inner.get("dtype", inner)}
    return {"dtype": _TYPES[type(kind)]}


def front_matter(values: Mapping[str, Any]) -> str:
    """A README.md head between its two lines of dashes."""
    # width: a line that YAML folds is the same to a reader of YAML, and two to whoever looks for one.
    body = yaml.safe_dump(dict(values), sort_keys=False, allow_unicode=True, width=1000)
    return f"---\n{body}---\n"


def metadata(
    patterns: Mapping[str, str], rows: int, types: Sequence[Mapping[str, Any]] | None = None
) -> dict[str, Any]:
    """What the head of every export says, card or not; `patterns`: split to the glob of its files."""
    size = next((name for power, name in enumerate(_SIZES, 3) if rows < 10**power), _SIZES[-1])
    files = [{"split": split, "path": pattern} for split, pattern in patterns.items()]
    return {
        "task_categories": ["text-generation"],
        "tags": [*TAGS],
        "size_categories": [size],
        "configs": [{"config_name": "default", "data_files": files}],
        **({"dataset_info": {"features": list(types)}} if types else {}),
    }
