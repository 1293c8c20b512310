"""Reading back what an export's card records, and which pairs lie beside it."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from factory.errors import InputError
from factory.exports.destinations.write import README, exported, is_shard
from factory.exports.facts.public import PAPER, some, without
from factory.exports.facts.recipe import INPUTS, MIXED, NOT_SHOWN, VERSIONS, recipe
from factory.files.rows import rows
from factory.files.yaml_file import MOST_BYTES, yaml_of

# Up to a fence as long as the one that opens it: shorter ones may stand within.
_BLOCK = re.compile(r"^## Configuration\n(?:(?!#|`).*\n)*(`{3,})yaml\n((?:.*\n)*?)\1$", re.MULTILINE)


class Recorded(NamedTuple):
    """What a card says of how its pairs were made, and the pairs."""

    folder: Path
    config: dict[str, Any]
    """Keys of a run's configuration. None that could start a program or reach a server is taken from a card."""
    inputs: dict[str, str]
    """What was read, by what it is for, to its fingerprint."""
    versions: dict[str, str]
    unsaid: list[str]
    """Keys that decided the data and are not on the card: where files lie, how servers are reached."""
    pair_ids: frozenset[str]

    @property
    def format(self) -> str:
        """Of the export."""
        return str(self.config["export"]["formats"][0])


def recorded(card: Path) -> Recorded:
    """What README.md of an export records, and the pairs beside it; `card` is that file or its folder.

    InputError for what is no card, a card that does not say how its pairs were made, or one without its data.
    """
    path = card / README if card.is_dir() else card
    said = _said(path)
    inputs, versions, export = (said.get(name) or {} for name in (INPUTS, VERSIONS, "export"))
    try:
        # Through the recipe itself, which lets public keys pass and no other: a card is a stranger's text.
        mixed = [some(one, MIXED) for one in export.get("mix") or []]
        clean = recipe(said) | {
            "export": some(export, ("formats", "one_per_prompt")) | ({"mix": mixed} if mixed else {})
        }
        texts = [{str(key): str(value) for key, value in given.items()} for given in (inputs, versions)]
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path}: what stands under Configuration was changed and is none now ({error})") from error
    if not inputs or len(clean["export"].get("formats") or []) != 1:
        raise InputError(f"{path} names no inputs or no export, as cards of older versions do; export the run again")
    unsaid = sorted({*_unsaid(said), *_unsaid(clean)})
    return Recorded(path.parent, _plain(clean), texts[0], texts[1], unsaid, pair_ids(path.parent))


def _said(card: Path) -> dict[str, Any]:
    """The block of the card that records how the pairs were made."""
    try:
        with card.open("rb") as file:
            # CRLF, as git may check a card out so on Windows.
            text = file.read(MOST_BYTES).decode("utf-8", errors="replace").replace("\r\n", "\n")
    except OSError as error:
        raise InputError(f"{card}: {error.strerror}; give README.md of an export, or the folder it is in") from error
    block = _BLOCK.search(text)
    found = yaml_of(block[2], str(card)) if block else None
    if not isinstance(found, dict):
        raise InputError(f"{card} does not say how its pairs were made, as cards of a run's exports do")
    return found


def _plain(clean: Mapping[str, Any]) -> dict[str, Any]:
    """A recipe as keys of a configuration: a run that audits, pushes and tells nobody."""
    found: dict[str, Any] = without(clean, NOT_SHOWN)
    # The words stand for the preset, which a configuration names by leaving the key out.
    filters = {"filters": None} if found.get("filters") == PAPER else {}
    return {key: value for key, value in {**found, **filters}.items() if key not in ("audit", INPUTS)}


def _unsaid(value: Any, at: str = "") -> Iterator[str]:
    """The keys that blocks list as not shown, each with its path."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, item in inside:
        if name == NOT_SHOWN and isinstance(item, list):
            yield from (f"{at}{key}" for key in item)
        else:
            yield from _unsaid(item, f"{at}{name}.")


def pair_ids(folder: Path) -> frozenset[str]:
    """The pairs of an export. InputError where no file of its rows lies in the folder."""
    files = [path for path in exported(folder) if is_shard(path.relative_to(folder).as_posix())]
    if not files:
        raise InputError(f"{folder} holds no rows of an export to compare with; the card alone is not enough")
    found: set[str] = set()
    for path in files:
        if path.suffix == ".parquet":
            found.update(
                pl.scan_parquet(path, glob=False).select("pair_id").unique().collect(engine="streaming")["pair_id"]
            )
        else:
            found.update(str(row.cells["pair_id"]) for row in rows(path))
    return frozenset(found)
