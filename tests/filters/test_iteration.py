import polars as pl
import pytest

from tests.filters.table import row, run, table

PAIRS = table(
    [
        row("sso 3", method="sso", iteration=3),
        row("sso 4", method="sso", iteration=4),
        row("pbaa 2", method="pbaa", iteration=2),
        row("pbaa 3", method="pbaa", iteration=3),
        row("sso unknown", method="sso", iteration=None),
        row("nameless 2", method=None, iteration=2),
        row("nameless 3", method=None, iteration=3),
        row("nothing", method=None, iteration=None),
    ]
)


def test_iterations_count_by_method_as_in_the_paper():
    """sso counts in 1 to 3, others in 1 and 2; what says no iteration is kept; "*" covers what says no method."""
    assert run({"use": "iteration"}, PAIRS).reasons == {
        "sso 3": None,
        "sso 4": "iteration",
        "pbaa 2": None,
        "pbaa 3": "iteration",
        "sso unknown": None,
        "nameless 2": None,
        "nameless 3": "iteration",
        "nothing": None,
    }


@pytest.mark.parametrize("block", [{"keep": {"sso": [4]}}, {"sso": [4]}])
def test_without_a_star_other_methods_do_not_count_and_nameless_ones_are_kept(block):
    reasons = run({"use": "iteration", **block}, PAIRS).reasons
    assert {tag: reason for tag, reason in reasons.items() if reason} == {
        "sso 3": "iteration",
        "pbaa 2": "method",
        "pbaa 3": "method",
    }


def test_pairs_without_the_columns_are_kept():
    bare = PAIRS.select("pair_id", "prompt_id", "prompt", "chosen", "rejected", "tag")
    assert set(run({"use": "iteration"}, bare).reasons.values()) == {None}
    narrow = PAIRS.with_columns(pl.col("iteration").cast(pl.Int32), method=pl.lit(None))
    assert run({"use": "iteration"}, narrow).reasons["sso 3"] == "iteration"
