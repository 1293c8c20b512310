"""Ids and draws: the same for ever, whatever the machine, and different for different content."""

from hypothesis import given, settings
from hypothesis import strategies as st

from factory.identity import digest, draw, pair_id, prompt_id

HI = [{"role": "user", "content": "Hi"}]


def test_identities_never_change():
    """BLAKE2b-128 of the canonical JSON, as `b2sum -l 128` gives it: changing it would orphan every run on disk."""
    assert digest([["user", "Hi"]]) == "a54c55ecc31f2f6989744362488d83c0"
    assert digest({"b": 1, "a": "é"}) == digest({"a": "é", "b": 1})


def test_ids_hash_roles_contents_and_sides_in_order():
    assert prompt_id(HI) == digest([["user", "Hi"]])
    assert pair_id(HI, "a", "b") == digest([[["user", "Hi"]], "a", "b"])
    assert pair_id(HI, "a", "b") != pair_id(HI, "b", "a")
    assert prompt_id(HI) != prompt_id([{"role": "system", "content": "Hi"}])
    assert prompt_id([*HI, *HI]) != prompt_id(HI)


def test_further_keys_of_a_message_and_their_order_do_not_count():
    assert prompt_id([{"content": "Hi", "role": "user", "name": "Ann"}]) == prompt_id(HI)


@settings(deadline=None)
@given(st.lists(st.text(), max_size=3), st.lists(st.text(), max_size=3))
def test_different_texts_have_different_ids(one, two):
    turns = [[{"role": "user", "content": text} for text in texts] for texts in (one, two)]
    assert (prompt_id(turns[0]) == prompt_id(turns[1])) == (one == two)


@settings(deadline=None)
@given(st.integers(), st.text(st.characters()), st.none() | st.floats(allow_nan=False))
def test_draws_are_63_bits_and_repeatable(seed, name, more):
    first = draw(seed, name, more)
    assert first == draw(seed, name, more)
    assert 0 <= first < 2**63


def test_draws_spread_evenly():
    counts = [0] * 4
    for n in range(4000):
        counts[draw(1, "coin", n) % 4] += 1
    assert all(900 < count < 1100 for count in counts)


def test_parts_do_not_run_into_one_another():
    assert draw("ab", "c") != draw("a", "bc")
    assert draw(1) != draw("1")
