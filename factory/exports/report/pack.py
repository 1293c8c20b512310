"""The reader's pairs, packed small enough that one file holds thousands: gzip in blocks, as texts of base64."""

import gzip
import json
from base64 import b64encode
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

from factory.exports.report.pairs import Room, bytes_of, reader_pairs

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
    none = bytes_of(root, Room()) == bytes_of(root, Room(original=False))
    rooms = list(dict.fromkeys(room._replace(original=room.original or none) for room in ROOMS))
    place = next((at for at, room in enumerate(rooms) if bytes_of(root, room) <= _MOST_RAW), len(rooms) - 1)
    while True:
        pairs = reader_pairs(root, seed, rooms[place])
        found = Packed(pairs, _blocks(pairs), rooms[place])
        if not pairs or found.size <= budget or place == len(rooms) - 1:
            return found if pairs else None
        letter = found.size / _letters(pairs, rooms[place])
        later = range(place + 1, len(rooms))
        place = next((at for at in later if letter * _letters(pairs, rooms[at]) <= budget), len(rooms) - 1)


def _letters(pairs: Sequence[Mapping[str, Any]], room: Room) -> float:
    """About how many characters of texts these pairs have in a room, and one that they have in any."""
    names = ("chosen", "rejected", "original") if room.original else ("chosen", "rejected")
    turns = (turn["content"] for pair in pairs for turn in pair.get("prompt", ()))
    texts = (pair[name] for pair in pairs for name in names if name in pair)
    return 1 + sum(min(len(text), room.longest) for text in chain(turns, texts)) * min(1, room.kept / len(pairs))


def _blocks(pairs: Sequence[Mapping[str, Any]]) -> list[str]:
    """Principles that several pairs were written under stand in the index once, and in the pairs as their number."""
    systems = Counter(pair[key] for pair in pairs for key in ("system_good", "system_bad") if key in pair)
    shared = {text: number for number, text in enumerate(text for text, n in systems.items() if n > 1)}
    rows = [
        {
            key: shared.get(value, value) if key in ("system_good", "system_bad") else value
            for key, value in pair.items()
        }
        for pair in pairs
    ]
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
    return b64encode(gzip.compress(text.encode("utf-8", "replace"), mtime=0)).decode()
