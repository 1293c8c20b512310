"""Writing an export: a folder that `datasets.load_dataset(folder)` loads as it is."""

import json
import re
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import polars as pl

from factory.config import Export
from factory.errors import InputError
from factory.exports import exporter
from factory.exports.base import Columns, Format, followers, whole
from factory.exports.frontmatter import MARK, features, front_matter, metadata
from factory.exports.json_types import plain
from factory.exports.llamafactory import dataset_info
from factory.exports.plan import ROW, Plan, plan
from factory.exports.shards import Shards
from factory.progress import Progress, Silent

BATCH = 2_000
README = "README.md"
INFO = "dataset_info.json"
_OURS = re.compile(r"(train|test)(-\d{5}-of-\d{5}\.parquet|\.json)")
_WRITING = ".writing"


def is_shard(name: str) -> bool:
    """Whether a name within an export's folder is one that an export gives to a data file."""
    folder, _, leaf = name.rpartition("/")
    return folder in ("", "data", "train", "test") and _OURS.fullmatch(leaf) is not None


class Exported(NamedTuple):
    """What was written, and what was not."""

    files: list[Path]
    rows: dict[str, int]
    """Rows by split; a split without rows is absent."""
    left_out: dict[str, int]
    """Reason to number of pairs that the format cannot hold."""
    set_aside: int
    """Pairs beyond the one that a one-per-prompt format keeps."""
    renamed: dict[str, str]
    """The user's columns that had to give way to a name that trainers read."""
    columns: list[str]
    metadata: dict[str, object]
    """The head of README.md, for the card to add to."""


def export(
    pairs: pl.LazyFrame | pl.DataFrame,
    format: str,  # noqa: A002
    out: Path,
    config: Export | None = None,
    seed: int = 42,
    progress: Progress | None = None,
) -> Exported:
    """Write `pairs` to the folder `out` in an export format, in shards, split by prompt.

    The rows keep the order of `pairs`. Files of an earlier export in `out` are replaced once the new ones are complete.
    Raises ConfigError for an unknown format and InputError when no pair can be written.
    """
    options, said = config or Export(), progress or Silent()
    target, table = exporter(format), whole(pairs.lazy())
    todo = plan(table, target, options.test_share, seed)
    if not todo.counts:
        why = "; ".join(f"{n} left out: {reason}" for reason, n in todo.left_out.items()) or "the table is empty"
        raise InputError(f"there is no pair to export as {format}: {why}")
    columns = followers(table.collect_schema(), target.fields)
    as_json = target.json and max(todo.counts.values()) <= options.shard_rows
    rows = _rows(table, target, columns)
    rows = plain(rows) if as_json else rows
    staging = out / _WRITING
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir(parents=True)
    written = _write(rows, todo, options.shard_rows, staging, as_json=as_json)
    folders = {split: split if target.json else "data" for split in written}
    places = {split: _places(split, folders[split], len(paths), as_json) for split, paths in written.items()}
    patterns = {s: names[0] if as_json else f"{folders[s]}/{s}-*" for s, names in places.items()}
    names = rows.collect_schema().names()
    types = features(rows.collect_schema()) if as_json else None
    head = metadata(patterns, sum(todo.counts.values()), types)
    extra = _texts(target, {s: names[0] if as_json else folders[s] for s, names in places.items()}, head, out)
    files = _publish(written, places, extra, out)
    result = Exported(files, todo.counts, todo.left_out, todo.set_aside, columns.renamed, names, head)
    _tell(result, target, options, said)
    return result


def _rows(table: pl.LazyFrame, target: Format, columns: Columns) -> pl.LazyFrame:
    fields = [expression.alias(name) for name, expression in target.fields.items()]
    return table.select(*fields, *(pl.col(name).alias(new) for name, new in columns.items()))


def _write(rows: pl.LazyFrame, todo: Plan, shard_rows: int, staging: Path, *, as_json: bool) -> dict[str, list[Path]]:
    schema = rows.collect_schema()
    shards = {name: Shards(staging, name, shard_rows, schema, json=as_json) for name in todo.counts}
    seen = 0
    for batch in rows.collect_batches(chunk_size=BATCH, maintain_order=True, engine="streaming"):
        wanted = todo.between(seen, seen + batch.height)
        for name, split in shards.items():
            mine = wanted.filter(wanted["test"] == (name == "test"))
            split.write(batch[mine[ROW] - seen])
        seen += batch.height
    for split in shards.values():
        split.close()
    return {name: split.paths for name, split in shards.items()}


def _places(split: str, folder: str, count: int, as_json: bool) -> list[str]:
    if as_json:
        return [f"{split}.json"]
    return [f"{folder}/{split}-{index:05d}-of-{count:05d}.parquet" for index in range(count)]


def _texts(target: Format, file_names: Mapping[str, str], head: dict[str, object], out: Path) -> dict[str, str]:
    texts = {INFO: json.dumps(dataset_info(file_names), indent=2) + "\n"} if target.json else {}
    readme = out / README
    if not readme.is_file() or MARK in readme.read_text(encoding="utf-8", errors="replace"):
        texts[README] = f"{front_matter(head)}\n{MARK}\n"
    return texts


def _publish(
    written: Mapping[str, list[Path]], places: Mapping[str, list[str]], texts: Mapping[str, str], out: Path
) -> list[Path]:
    files = []
    for split, paths in written.items():
        for path, place in zip(paths, places[split], strict=True):
            (out / place).parent.mkdir(exist_ok=True)
            files.append(path.replace(out / place))
    for name, text in texts.items():
        draft = out / _WRITING / name
        draft.write_text(text, encoding="utf-8")
        files.append(draft.replace(out / name))
    shutil.rmtree(out / _WRITING)
    _remove_stale(out, files)
    return files


def _remove_stale(out: Path, files: Iterable[Path]) -> None:
    fresh = set(files)
    for folder in (out / "data", out / "train", out / "test", out):
        if not folder.is_dir():
            continue
        for path in sorted(folder.iterdir()):
            if _OURS.fullmatch(path.name) and path.is_file() and path not in fresh:
                path.unlink()
        if folder != out and not any(folder.iterdir()):
            folder.rmdir()
    info = out / INFO
    if info.is_file() and info not in fresh and '"sso_pairs"' in info.read_text(encoding="utf-8"):
        info.unlink()


def _tell(result: Exported, target: Format, options: Export, said: Progress) -> None:
    counts = " and ".join(f"{n} {split} rows" for split, n in result.rows.items())
    said.say(f"export {target.name}: {counts} in {len(result.files)} files")
    if result.set_aside:
        said.say(f"export {target.name}: one pair per prompt, {result.set_aside} further pairs are not in it")
    if options.test_share and "test" not in result.rows:
        said.say(f"export {target.name}: too few prompts for a test split, all are in train")
    for reason, count in result.left_out.items():
        said.say(f"export {target.name}: {count} pairs left out: {reason}")
    for name, new in result.renamed.items():
        said.say(f"export {target.name}: your column {name} is written as {new}, as trainers read {name}")
