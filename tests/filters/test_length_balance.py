import numpy as np
import polars as pl
import pytest

from tests.filters.table import row, run, table


def of_lengths(*lengths, prompts=None):
    """Pairs of the given lengths, in characters of two bytes, each of its own prompt unless told."""
    names = prompts or range(len(lengths))
    rows = [
        row(f"{n}", prompt=f"prompt {name}", chosen="ä" * c, rejected="ö" * r)
        for n, ((c, r), name) in enumerate(zip(lengths, names, strict=True))
    ]
    return table(rows)


def test_the_longer_side_loses_its_surplus():
    """Three pairs ahead by 10, one behind by 10, of 1,000: the means of any three differ by 0.3 %."""
    found = run({"use": "length_balance"}, of_lengths((1010, 1000), (1010, 1000), (1010, 1000), (990, 1000)))
    assert found.kept.height == 3
    assert "3" in found.kept["tag"]
    assert found.rejected["reason"].to_list() == ["chosen_longer"]


def test_the_shorter_side_loses_its_surplus():
    found = run({"use": "length_balance"}, of_lengths((1000, 1010), (1000, 1010), (1000, 1010), (1000, 990)))
    assert found.rejected["reason"].to_list() == ["rejected_longer"]


def test_the_gap_can_be_set():
    pairs = of_lengths((110, 100), (100, 101))
    assert run({"use": "length_balance"}, pairs).kept["tag"].to_list() == ["1"]
    assert run({"use": "length_balance", "max_mean_gap": 0.05}, pairs).kept.height == 2


def test_one_pair_of_each_prompt_is_kept_so_as_to_balance():
    """Each prompt has a pair ahead and a pair behind: one prompt gives the one, the other the other."""
    lengths = [(1010, 1000), (990, 1000), (1010, 1000), (990, 1000)]
    pairs = of_lengths(*lengths, prompts=["p", "p", "q", "q"])
    assert run({"use": "length_balance"}, pairs).kept.height == 4
    found = run({"use": "length_balance", "one_per_prompt": True}, pairs)
    assert found.kept.height == found.kept["prompt_id"].n_unique() == 2
    assert found.rejected["reason"].to_list() == ["same_prompt"] * 2


def test_a_prompt_that_keeps_none_says_which_side_was_longer():
    pairs = of_lengths((900, 10), (901, 10), (5, 5), prompts=["p", "p", "q"])
    found = run({"use": "length_balance", "one_per_prompt": True}, pairs)
    assert found.reasons == {"0": "chosen_longer", "1": "chosen_longer", "2": None}


@pytest.mark.parametrize("one_per_prompt", [False, True])
def test_the_order_of_rows_does_not_matter(one_per_prompt):
    rng = np.random.default_rng(0)
    lengths = rng.integers(50, 500, (300, 2)).tolist()
    pairs = of_lengths(*lengths, prompts=rng.integers(0, 120, 300).tolist())
    block = {"use": "length_balance", "one_per_prompt": one_per_prompt}
    found = run(block, pairs)
    assert 0 < found.kept.height < 300
    for seed in range(3):
        assert run(block, pairs.sample(fraction=1, shuffle=True, seed=seed)).reasons == found.reasons


def test_kept_pairs_are_level():
    rng = np.random.default_rng(1)
    lengths = np.stack([rng.lognormal(5, 0.6, 500), rng.lognormal(4.8, 0.6, 500)], axis=1).astype(int) + 1
    kept = run({"use": "length_balance"}, of_lengths(*lengths.tolist())).kept.with_columns(
        c=pl.col("chosen").str.len_chars().cast(int), r=pl.col("rejected").str.len_chars().cast(int)
    )
    assert abs(int((kept["c"] > kept["r"]).sum()) - int((kept["c"] < kept["r"]).sum())) <= 1
    assert abs(kept["c"].mean() - kept["r"].mean()) <= 0.02 * min(kept["c"].mean(), kept["r"].mean())
    assert kept.height > 300
