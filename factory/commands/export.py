"""`export`: pairs in the format a trainer reads, with a card, here, at a URL or on the Hub."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Unpack

import polars as pl

from factory.config import Export, Mix
from factory.config.load import as_config, override
from factory.errors import ConfigError, percent
from factory.exports.card import write_card
from factory.exports.card.facts import card_facts
from factory.exports.card.licenses import require_as_strict, require_language, require_license
from factory.exports.destinations.hub import push
from factory.exports.destinations.hub import require_free as require_free_on_hub
from factory.exports.destinations.mix import mix as mix_in
from factory.exports.destinations.remote import require_free as require_free_there
from factory.exports.destinations.remote import send, url_of
from factory.exports.destinations.write import Exported, require_free
from factory.exports.destinations.write import export as write_export
from factory.exports.facts import Lengths
from factory.exports.facts.run import licenses
from factory.files import PathLike
from factory.files.json_text import read_object
from factory.files.streaming import small_morsels
from factory.identity import DEFAULT_SEED
from factory.progress import Progress, Silent
from factory.readers import PairsLike, ReadOptions, fetched_once, how_to_read
from factory.readers.inputs.on_disk import places
from factory.readers.inputs.sources import as_list
from factory.readers.told import read_and_tell, tell_set_aside
from factory.store.lock import locked
from factory.store.ownership import require_apart


@fetched_once()
@small_morsels()
def export(
    pairs: PairsLike,
    format: str = "rm",
    out: PathLike | None = None,
    *,
    push_to_hub: str | None = None,
    private: bool = False,
    all_pairs: bool = False,
    keep_system: bool = False,
    mix: Sequence[Mix | str] = (),
    decontaminate: Sequence[PathLike] = (),
    test_share: float | None = None,
    license: str | None = None,
    language: Sequence[str] = (),
    config: Export | Mapping[str, Any] | None = None,
    seed: int | None = None,
    progress: Progress | None = None,
    **reading: Unpack[ReadOptions],
) -> list[Path | str]:
    """Write pairs to the folder or URL `out` in an export format, with a dataset card; returns what was written.

    `pairs` is anything that can be read, also a run folder, whose numbers then fill the card. `mix` names other
    pairs to mix in, each `PATH` or `PATH=SHARE`, and `decontaminate` files with a benchmark's prompts, with which
    no pair may share text. `test_share` of the prompts are the test split, drawn with `seed`: by default the run's
    own where `pairs` is a run folder, so that every export of a run is split alike. `all_pairs` keeps every pair of a
    prompt where the format would keep one, `keep_system` a prompt's system message as one in `rm` too. `push_to_hub` is
    USER/NAME of a data set to which the folder is pushed as well; `out` may be left out then. Arguments win over
    `config`. `columns`, `layout`, `pairing` and `skip_unreadable` say how to read pairs.
    """
    shown = progress or Silent()
    # None is what nobody said: a flag that is off leaves to the configuration what it says.
    given: dict[str, Any] = {
        "push_to_hub": push_to_hub,
        "private": private or None,
        "one_per_prompt": False if all_pairs else None,
        "keep_system": keep_system or None,
        "mix": [one if isinstance(one, str) else one.model_dump() for one in mix] or None,
        "decontaminate": [str(path) for path in decontaminate] or None,
        "test_share": test_share,
        "license": license,
        "language": list(language) or None,
    }
    options = _options(config, {name: value for name, value in given.items() if value is not None})
    if out is None and options.push_to_hub is None:
        raise ConfigError("export needs a place to write to: give --out DIR or --push-to-hub USER/NAME")
    root, how = _run_root(pairs), how_to_read(reading)
    if root is not None:
        head = read_object(root / "run.json")
        require_as_strict(options.license, licenses(head.get("config") or {}))
        seed = head.get("seed") if seed is None and isinstance(head.get("seed"), int) else seed
    seed = DEFAULT_SEED if seed is None else seed
    url = url_of(out) if out is not None else None
    # Whatever may be in the way is looked for before anything is read, which may take an hour.
    if url is not None:
        require_free_there(url, format)
    if options.push_to_hub is not None:
        require_free_on_hub(options.push_to_hub, format, private=options.private)
    if out is not None and url is None:
        require_apart(Path(out), [*places(pairs), *(other.path for other in options.mix), *options.decontaminate])
    with _folder(None if url else out) as folder:
        require_free(folder, format)
        read = read_and_tell(pairs, how, shown).pairs
        tell_set_aside(read.reasons(), shown)
        files = export_into(folder, read.kept, format, options, seed=seed, root=root, progress=shown)[1]
        addresses = send(folder, url) if url else []
        if options.push_to_hub:
            addresses.append(push(folder, options.push_to_hub, private=options.private, progress=shown))
    return [*([] if url or out is None else files), *addresses]


def _options(config: Export | Mapping[str, Any] | None, said: Mapping[str, Any]) -> Export:
    """The configuration with what was said beside it. Raises ConfigError for what no card can say."""
    # Dumped and validated anew, not copied: a copy takes any value.
    options = override(as_config(config or {}, Export).model_dump() | dict(said), (), Export, "export")
    require_license(options.license)
    require_language(options.language)
    return options


def export_into(
    folder: Path,
    pairs: pl.LazyFrame,
    format: str,
    options: Export,
    *,
    seed: int,
    root: Path | None,
    progress: Progress,
) -> tuple[Exported, list[Path]]:
    """Mix, write, and describe; `root` is the run that made the pairs."""
    mixed: dict[str, int] = {}
    if options.mix or options.decontaminate:
        pairs, mixed = mix_in(pairs, options.mix, decontaminate=options.decontaminate, seed=seed, progress=progress)
    written = write_export(pairs, format, folder, options, seed, progress)
    facts = card_facts(written, format, options, run_root=root, mixed=mixed, seed=seed)
    if written.set_aside or written.left_out:
        progress.say(f"export {format}: {_stand(facts.pairs.lengths)}")
    return written, list(dict.fromkeys([*written.files, *write_card(facts, folder)]))


def _stand(lengths: Lengths) -> str:
    """How long the replies of what was written are."""
    longer = f"{percent(lengths.longer_chosen.value)} of unequal length" if lengths.longer_chosen else "none"
    gap = "" if lengths.gap is None else f", the mean lengths are {round(lengths.gap, 3) + 0.0:+.1%} apart"
    return f"chosen is the longer reply in {longer}{gap}"


def _run_root(pairs: PairsLike) -> Path | None:
    """The run folder, where pairs are those of one run."""
    listed = as_list(pairs)
    if len(listed) != 1 or not isinstance(listed[0], str | Path):
        return None
    root = Path(listed[0])
    return root if (root / "run.json").is_file() else None


@contextmanager
def _folder(out: PathLike | None) -> Iterator[Path]:
    """The folder to write to: `out`, which is held, or one that is gone afterwards."""
    if out is not None:
        # Held until it is sent and pushed too: what leaves is the folder as this export left it.
        with locked(Path(out)):
            yield Path(out)
        return
    # A URL or the Hub alone: nobody asked for files here.
    with TemporaryDirectory(prefix="sso-factory-") as scratch:
        yield Path(scratch)
