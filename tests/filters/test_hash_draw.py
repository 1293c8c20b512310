import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from factory.identity import digest
from filters.hash_draw import hash_draw, hash_draw_expr


@given(st.lists(st.text(), max_size=5), st.text())
def test_one_pair_and_a_column_of_them_get_the_same(ids, name):
    known = [one for one in ids if one.isprintable()]
    frame = pl.DataFrame({"pair_id": known}, schema={"pair_id": pl.String})
    assert frame.select(hash_draw_expr(name)).to_series().to_list() == [hash_draw(one, name) for one in known]


def test_draws_by_hash_never_change():
    """Decisions and journals rest on these: they must never change."""
    assert hash_draw("0" * 32, "a") == 16766104712313576859
    assert hash_draw("x", "first order gpt-4o") == 8297181059308978631


def test_tosses_are_even_and_names_independent():
    """20,000 ids: each of the four outcomes of two coins 5,000 times, give or take 5 standard deviations (306)."""
    frame = pl.DataFrame({"pair_id": [digest(number) for number in range(20_000)]})
    coins = frame.select(a=hash_draw_expr("a") // 2**63, b=hash_draw_expr("b") // 2**63)
    counts = coins.group_by("a", "b").len()["len"].to_list()
    assert len(counts) == 4
    assert all(abs(count - 5000) < 306 for count in counts)
