"""The pairs that the report lets one read, all kept ones that find room and some rejected of every reason, packed."""

import gzip
import json
from base64 import b64encode
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from factory.exports.facts import scan
from factory.exports.facts.public import public_name
from factory.schema import REPLIES, VIEWS, logp_column
from filters.hash_draw import hash_draw_expr
from filters.votes import verdicts

KEPT, REJECTED = 20_000, 250
"""Pairs that are shown at most."""
LONGEST = 20_000
"""Characters of a text that are carried; replies are rarely longer."""
_ROW, _SIZE = "__row", "__size_"
_SYSTEMS = ("system_good", "system_bad")
_PLAIN = ("pair_id", "iteration", "feature", "source", "policy", *_SYSTEMS, "filter", "reason", "detail", "flags")


class Room(NamedTuple):
    """How much of the pairs is carried."""

    kept: int = KEPT
    rejected: int = REJECTED
    longest: int = LONGEST
    """Characters of each text."""
    original: bool = True
    """Whether the replies without a principle are."""


def reader_pairs(root: Path, seed: int, room: Room | None = None) -> list[dict[str, Any]]:
    """Kept and rejected pairs as plain values for JSON, drawn by seed where there are more than there is room for."""
    room = room or Room()
    kept, rejected = (scan(root / f"filtered/{name}.parquet") for name in ("kept", "rejected"))
    rows = [
        *(_drawn(kept, room.kept, seed, [], room) if kept is not None else []),
        *(_drawn(rejected, room.rejected, seed, ["filter", "reason"], room) if rejected is not None else []),
    ]
    votes = _votes(root, [row["pair_id"] for row in rows if row.get("pair_id")])
    return [{**_plain(row, room.longest), "votes": votes.get(row.get("pair_id"), [])} for row in rows]


def bytes_of(root: Path, room: Room) -> int:
    """About how many bytes the replies are that fit in a room, on disk and uncompressed."""
    found = 0
    for name, most in (("kept", room.kept), ("rejected", room.rejected)):
        table = scan(root / f"filtered/{name}.parquet")
        known = [] if table is None else [c for c in REPLIES[: 2 + room.original] if c in table.collect_schema()]
        if table is not None and known:
            sizes = [pl.col(c).str.len_bytes().clip(upper_bound=room.longest).sum() for c in known]
            row = table.select(pl.len(), *sizes).collect(engine="streaming").row(0)
            found += int(sum(row[1:]) * min(1.0, most / max(1, row[0])))
    return found


def _drawn(frame: pl.LazyFrame, count: int, seed: int, by: Sequence[str], room: Room) -> list[dict[str, Any]]:
    """`count` rows with the lowest coins; from every group of `by` one first, then a second, and so on."""
    known = frame.collect_schema()
    groups = [name for name in by if name in known]
    # By a hash of the id, so that the draw needs neither the order of the rows nor a generator.
    coin = hash_draw_expr(f"report {seed}").fill_null(0) if "pair_id" in known else pl.lit(0, pl.UInt64)
    narrow = frame.with_row_index(_ROW).select(_ROW, *groups, coin.alias("coin")).collect(engine="streaming")
    # The how-manieth of its group each row is: sorted by that, rare reasons come before the second of any.
    turn = pl.int_range(pl.len()).over(groups) if groups else pl.lit(0)
    order = narrow.sort("coin", _ROW).with_columns(turn=turn).sort("turn", "coin", _ROW).head(count)
    picked = order[_ROW]
    wanted = [name for name in known if room.original or name != "original"]
    cut = []
    for name in (name for name in REPLIES if name in wanted and known[name] == pl.String):
        text, size = pl.col(name), pl.col(name).str.len_chars()
        short = text.str.slice(0, room.longest) + pl.concat_str(pl.lit(" … ("), size, pl.lit(" characters)"))
        cut += [pl.when(size > room.longest).then(short).otherwise(text).alias(name), size.alias(_SIZE + name)]
    rows = frame.select(wanted).with_row_index(_ROW).filter(pl.col(_ROW).is_in(picked.implode())).with_columns(cut)
    found = {row.pop(_ROW): row for row in rows.collect(engine="streaming").to_dicts()}
    return [found[at] for at in picked]


def _plain(row: dict[str, Any], longest: int) -> dict[str, Any]:
    cells = {name: row[name] for name in REPLIES if row.get(name) not in (None, "")}
    cells |= {name: _shortened(row[name], longest) for name in _PLAIN if row.get(name) not in (None, [], "")}
    if "policy" in cells:
        cells["policy"] = public_name(cells["policy"])
    if isinstance(row.get("prompt"), list):
        cells["prompt"] = [
            {"role": t["role"], "content": _shortened(t["content"] or "", longest)} for t in row["prompt"] if t
        ]
    elif row.get("row"):
        cells["row"] = _shortened(row["row"], longest)
    logps = {
        f"{reply}_{view}": round(row[name], 4)
        for reply in REPLIES
        for view in VIEWS
        if isinstance(row.get(name := logp_column(reply, view)), float)
    }
    # Counted here: JavaScript counts a letter beyond the first 65,536 as two, and sees no more than what is carried.
    sizes = {reply: row[_SIZE + reply] for reply in REPLIES if row.get(_SIZE + reply)}
    finishes = {reply: row[f"finish_{reply}"] for reply in REPLIES if row.get(f"finish_{reply}")}
    more = {"logps": logps, "sizes": sizes, "finish": finishes}
    return {**cells, **{name: value for name, value in more.items() if value}}


def _shortened(value: Any, longest: int) -> Any:
    if isinstance(value, str) and len(value) > longest:
        return f"{value[:longest]} … ({len(value)} characters)"
    if isinstance(value, str | int | float):
        return value
    return str(value)


def _votes(root: Path, pair_ids: Sequence[str]) -> Mapping[str | None, list[dict[str, Any]]]:
    """Per pair what each judge said, those of the audit marked."""
    found: dict[str | None, list[dict[str, Any]]] = {}
    # With its type, as an empty list has none.
    wanted = pl.Series(list(dict.fromkeys(pair_ids)), dtype=pl.String).implode()
    for path, audit in ((root / "filtered/judgments.parquet", False), (root / "audit/judgments.parquet", True)):
        table = scan(path)
        if table is None:
            continue
        # Votes of the pairs that are shown, as those of a million do not fit a page, nor the memory of a report.
        rows = table.filter(pl.col("pair_id").is_in(wanted)).select("pair_id", "judge", "order", "vote").collect()
        ordered = rows.sort("pair_id", "judge", "order")
        given = ordered.group_by("pair_id", "judge", maintain_order=True).agg("order", "vote")
        ruled = given.join(verdicts(rows).collect(), on=["pair_id", "judge"], maintain_order="left")
        for row in ruled.iter_rows(named=True):
            votes = dict(zip(row["order"], row["vote"], strict=True))
            entry = {"judge": public_name(row["judge"]), "verdict": row["verdict"], "audit": audit, "votes": votes}
            found.setdefault(row["pair_id"], []).append(entry)
    return found


BLOCK = 100
"""Pairs that are unpacked together."""
BUDGET = 9_500_000
"""Bytes that the packed pairs may take, so that the page stays below 10 MB."""
_MOST_RAW = 100_000_000
"""Bytes of replies that are not tried, since no language packs to a tenth of itself."""
_SHORTER = (12_000, 8_000, 6_000, 4_000, 3_000, 2_000, 1_500, 1_200, 1_000)
ROOMS = (
    Room(),
    Room(original=False),
    *(Room(longest=longest, original=False) for longest in _SHORTER),
    *(Room(kept=kept, longest=1_000, original=False) for kept in (10_000, 5_000)),
    *(Room(kept=5_000, longest=longest, original=False) for longest in (700, 400, 200)),
)
"""What is tried in turn until the pairs fit: whole texts first, then shorter ones, then fewer pairs."""
_TITLE = 160


class Packed(NamedTuple):
    """The pairs of a page."""

    pairs: list[dict[str, Any]]
    blocks: list[str]
    """The index, and after it BLOCK pairs each."""
    room: Room

    @property
    def size(self) -> int:
        """Bytes on the page."""
        return sum(map(len, self.blocks))


def packed_pairs(root: Path, seed: int, budget: int = BUDGET) -> Packed | None:
    """As much of a run's pairs as fits in `budget` bytes; None where it has none."""
    # Where no pair has a reply without a principle, leaving it out is no saving, and is not said.
    none = bytes_of(root, Room()) == bytes_of(root, Room(original=False))
    rooms = list(dict.fromkeys(room._replace(original=room.original or none) for room in ROOMS))
    place = next((at for at, room in enumerate(rooms) if bytes_of(root, room) <= _MOST_RAW), len(rooms) - 1)
    while True:
        pairs = reader_pairs(root, seed, rooms[place])
        found = Packed(pairs, _blocks(pairs), rooms[place])
        if not pairs or found.size <= budget or place == len(rooms) - 1:
            return found if pairs else None
        # What a character took when packed tells which room will do, so that few are packed in vain.
        letter = found.size / _letters(pairs, rooms[place])
        later = range(place + 1, len(rooms))
        place = next((at for at in later if letter * _letters(pairs, rooms[at]) <= budget), len(rooms) - 1)


def _letters(pairs: Sequence[Mapping[str, Any]], room: Room) -> float:
    """About how many characters of texts these pairs have in a room, and one that they have in any."""
    names = REPLIES[: 2 + room.original]
    turns = (turn["content"] for pair in pairs for turn in pair.get("prompt", ()))
    texts = (pair[name] for pair in pairs for name in names if name in pair)
    return 1 + sum(min(len(text), room.longest) for text in chain(turns, texts)) * min(1, room.kept / len(pairs))


def _blocks(pairs: Sequence[dict[str, Any]]) -> list[str]:
    """Principles that several pairs were written under stand in the index once, and in the pairs as their number."""
    systems = Counter(pair[key] for pair in pairs for key in _SYSTEMS if key in pair)
    shared = {text: number for number, text in enumerate(text for text, n in systems.items() if n > 1)}
    rows = [pair | {key: shared.get(pair[key], pair[key]) for key in _SYSTEMS if key in pair} for pair in pairs]
    index = {"size": BLOCK, "systems": list(shared), "pairs": [_entry(pair) for pair in pairs]}
    parts = (rows[start : start + BLOCK] for start in range(0, len(rows), BLOCK))
    return [_pack(index), *map(_pack, parts)]


def _entry(pair: Mapping[str, Any]) -> dict[str, Any]:
    """What the list shows and filters by."""
    turns = pair.get("prompt") or [{"content": pair.get("row", "")}]
    names = ("pair_id", "iteration", "feature", "filter", "reason")
    title = " ".join(turns[-1]["content"][: 4 * _TITLE].split())[:_TITLE]
    marks = list(dict.fromkeys(vote["verdict"] for vote in pair["votes"]))
    return {"title": title, "verdicts": marks, **{name: pair[name] for name in names if name in pair}}


def _pack(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    # mtime=0, or the same pairs would be other bytes each second; base64, as a page is text.
    # replace: JSON may hold half of a surrogate pair, UTF-8 may not.
    return b64encode(gzip.compress(text.encode("utf-8", "replace"), mtime=0)).decode()
