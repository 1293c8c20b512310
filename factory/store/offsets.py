"""Where records lie in a file, by key: sixteen bytes a record, and a short dictionary of those that came last."""

import numpy as np

_RECENT = 1 << 16
"""Records after which the dictionary is sorted into the arrays."""


class Offsets:
    """Offsets by the first eight bytes of a key, which is random.

    Two keys that share them, of ten million one pair in 300,000 files, are taken for one another: whoever reads the
    record looks at its key.
    """

    def __init__(self) -> None:
        # Two arrays, as a dictionary of Python objects takes some 150 bytes a record where these take sixteen.
        self._keys = np.zeros(0, dtype=np.uint64)
        self._places = np.zeros(0, dtype=np.int64)
        self._recent: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self._keys) + len(self._recent)

    def __contains__(self, key: bytes) -> bool:
        return self.get(key) is not None

    def get(self, key: bytes) -> int | None:
        """The offset of the record of this key, which came last; None where there is none."""
        short = _short(key)
        recent = self._recent.get(short)
        if recent is not None:
            return recent
        at = self._at(short)
        return None if at is None else int(self._places[at])

    def __setitem__(self, key: bytes, offset: int) -> None:
        short = _short(key)
        at = self._at(short)
        if at is not None:
            self._places[at] = offset
            return
        self._recent[short] = offset
        if len(self._recent) >= _RECENT:
            self._sort()

    def _at(self, short: int) -> int | None:
        at = int(np.searchsorted(self._keys, np.uint64(short)))
        return at if at < len(self._keys) and int(self._keys[at]) == short else None

    def _sort(self) -> None:
        keys = np.fromiter(self._recent, dtype=np.uint64, count=len(self._recent))
        places = np.fromiter(self._recent.values(), dtype=np.int64, count=len(self._recent))
        keys, places = np.concatenate([self._keys, keys]), np.concatenate([self._places, places])
        order = np.argsort(keys)
        self._keys, self._places, self._recent = keys[order], places[order], {}


def _short(key: bytes) -> int:
    return int.from_bytes(key[:8], "little")
