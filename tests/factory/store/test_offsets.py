import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from factory.store import journal
from factory.store.journal import Offsets

KEYS = st.integers(0, 30).map(lambda number: number.to_bytes(8, "little") * 2)


@pytest.mark.parametrize("recent", [1, 3, 1 << 16])
@settings(deadline=None)
@given(records=st.lists(KEYS))
def test_offsets_are_those_of_a_dictionary(recent, records):
    found, plain = Offsets(), {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(journal, "_RECENT", recent)
        for offset, key in enumerate(records):
            found[key] = plain[key] = offset
    assert len(found) == len(plain)
    for number in range(32):
        key = number.to_bytes(8, "little") * 2
        assert found.get(key) == plain.get(key)
        assert (key in found) == (key in plain)


def test_a_record_takes_sixteen_bytes():
    found = Offsets()
    for number in range(1 << 16):
        found[(number * 0x9E3779B97F4A7C15 % 2**64).to_bytes(8, "little")] = number
    assert found._keys.nbytes + found._places.nbytes == 16 * len(found)
    assert not found._recent
