"""`review`: people say, pair by pair, which reply is better; what they say is what an audit takes as gold labels."""

import re
import webbrowser
from contextlib import suppress
from pathlib import Path
from typing import Any, Unpack

import polars as pl

from factory.commands.recorded_votes import recorded_votes
from factory.errors import ConfigError, FactoryError, InputError
from factory.files import PathLike
from factory.files.streaming import few
from factory.identity import DEFAULT_SEED
from factory.progress import Progress, Silent
from factory.readers import PairsLike, ReadOptions, fetched_once, how_to_read
from factory.readers.how import How
from factory.readers.inputs.on_disk import places
from factory.readers.told import read_and_tell, tell_set_aside
from factory.reviewing.labels import BY, Answers, Reviewed, journal_of, journals, reviewed, write_labels
from factory.reviewing.session import ReviewItem, Session
from factory.store.lock import locked
from factory.store.ownership import Record, require_apart
from filters.hash_draw import hash_draw_expr
from filters.votes import verdicts

_TOLD = ("feature", "system_good", "system_bad", "policy", "iteration", "source")


@fetched_once()
def review(
    pairs: PairsLike,
    out: PathLike,
    *,
    sample: int | None = None,
    name: str = "reviewer",
    blind: bool = False,
    seed: int = DEFAULT_SEED,
    port: int = 0,
    browser: bool = False,
    progress: Progress | None = None,
    **reading: Unpack[ReadOptions],
) -> Reviewed:
    """Serve a page on this machine on which a person, `name`, labels pairs; write the labels to the Parquet file `out`.

    `sample` pairs are drawn at random, the same for everybody under one seed; None takes all. Each answer is journaled
    beside `out` as it lands, so that the same call goes on where it stopped, and `out` holds everybody's answers:
    pair_id, right, label, annotator, time. `blind` never says which reply is called chosen, what judges voted or which
    principle was used; otherwise that is told after each answer. Returns when the review is finished or interrupted.
    """
    # Here: a web server takes longer to load than most commands to run.
    from factory.reviewing.server import serve

    shown, path = progress or Silent(), Path(out)
    _check(path, name)
    require_apart(path, places(pairs), a_file=True)
    items = _items(pairs, sample, seed, how_to_read(reading), shown)
    _claimed(path, name)
    with Answers(path, name) as answers:
        if name not in journals(path):
            raise ConfigError(f"--as {name!r}: {journal_of(path, name)} is of another table there; take another name")
        session = Session(items, answers, seed, blind)

        def opened(address: str) -> None:
            shown.say(f"{name} has {len(items) - session.done:,} of {len(items):,} pairs to review, at {address}")
            shown.say("keys: 1 left, 2 right, t tie, s skip, u undo; finish on the page, or with Ctrl-C")
            if browser:
                webbrowser.open(address)

        def landed() -> None:
            # The journal has the answer; what is wrong with the table is told at the end.
            with suppress(FactoryError, OSError):
                write_labels(path)

        # Before anybody answers: a table that cannot be written is told now, and not after an hour's work.
        write_labels(path)
        serve(session, landed, opened, port)
    return reviewed(path, write_labels(path))


def _check(path: Path, name: str) -> None:
    """ConfigError for a name that is no file name, or a table that is a folder."""
    if not re.fullmatch(r"\w[\w.@-]{0,63}", name):
        raise ConfigError(f"--as {name!r}: a name is letters, digits, dots and dashes, at most 64 of them")
    if path.is_dir():
        raise ConfigError(f"{path} is a folder; give --out the name of a file, such as labels.parquet")


def _claimed(path: Path, name: str) -> None:
    """Write down whose the table and the journal are. ConfigError where they are files of somebody else.

    The folder is held for that moment alone, as several people may review side by side.
    """
    with locked(path.parent):
        record = Record.read(path.parent)
        names = [path.name, journal_of(path, name).name]
        record.require_free(names, BY)
        record.claim(names, BY)


def _items(pairs: PairsLike, sample: int | None, seed: int, how: How, shown: Progress) -> list[ReviewItem]:
    """The pairs to review, in an order drawn by seed."""
    found = read_and_tell(pairs, how, shown).pairs
    tell_set_aside(found.reasons(), shown)
    rows = found.kept
    order = rows.select("pair_id", hash_draw_expr(f"review {seed}").alias("toss")).collect(engine="streaming")
    # Ties of the draw by id, so that everybody has the same pairs in the same order, whatever the files'.
    order = order.sort("toss", "pair_id").head(sample if sample is not None else order.height)
    drawn = few(rows.join(order.lazy(), on="pair_id", how="semi"))
    if drawn.is_empty():
        raise InputError("there are no pairs to review in what was given")
    # By id: what the draw puts in order, a join leaves in none.
    said = _said(recorded_votes(pairs), drawn["pair_id"])
    table = {row["pair_id"]: row for row in drawn.iter_rows(named=True)}
    return [_item(table[pair], said.get(pair, [])) for pair in order["pair_id"]]


def _item(row: dict[str, Any], said: list[str]) -> ReviewItem:
    told = {name: row[name] for name in _TOLD if row.get(name) is not None}
    return ReviewItem(row["pair_id"], row["prompt"], row["chosen"], row["rejected"], {"facts": told, "verdicts": said})


def _said(votes: pl.LazyFrame, ids: pl.Series) -> dict[str, list[str]]:
    """What each judge said of each pair, where the filter's votes lie beside the pairs."""
    mine = votes.join(ids.to_frame("pair_id").lazy(), on="pair_id", how="semi")
    found: dict[str, list[str]] = {}
    for pair, judge, verdict in verdicts(mine).collect().sort("pair_id", "judge").iter_rows():
        found.setdefault(pair, []).append(f"{judge}: {'asked in one order' if verdict == 'partial' else verdict}")
    return found
