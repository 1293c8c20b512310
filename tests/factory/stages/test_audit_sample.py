"""Sampling, estimates, and who must not judge."""

from collections import Counter
from typing import Any

import polars as pl
import pytest

from factory.config import Judge
from factory.config.apis import Prices
from factory.errors import ConfigError
from factory.identity import digest
from factory.schema import PAIRS, conform
from factory.stages.audit_sample import check_independent, estimate, rough_tokens
from factory.stages.audit_sample import sample as draw_sample


def pairs_of(*groups: tuple[int | None, str | None, int]) -> pl.DataFrame:
    """Pairs by (iteration, feature, how many)."""
    rows: list[dict[str, Any]] = []
    for iteration, feature, count in groups:
        for _ in range(count):
            number = len(rows)
            rows.append(
                {
                    "pair_id": digest(["pair", number]),
                    "prompt_id": digest(["prompt", number // 2]),
                    "prompt": [{"role": "user", "content": f"q{number}"}],
                    "chosen": "c" * 8,
                    "rejected": "r" * 8,
                    "iteration": iteration,
                    "feature": feature,
                }
            )
    overrides = {name: PAIRS.columns[name].dtype for name in ("prompt", "iteration", "feature")}
    return conform(pl.DataFrame(rows, schema_overrides=overrides), PAIRS)


def sample(
    pairs: pl.DataFrame | pl.LazyFrame, n: int | None, seed: int, first: pl.DataFrame | None = None
) -> pl.DataFrame:
    """The rows whose ids are drawn, in the order of these."""
    ids = draw_sample(pairs.lazy(), n, seed, first).to_frame("pair_id").lazy()
    return pairs.lazy().join(ids, on="pair_id", maintain_order="right").collect()


def test_each_stratum_has_its_share() -> None:
    """10 of 60 + 30 + 10: 6, 3 and 1."""
    pairs = pairs_of((1, "a", 60), (1, "b", 30), (2, "a", 10))
    found = sample(pairs, 10, seed=1)
    assert Counter(found.select("iteration", "feature").rows()) == {(1, "a"): 6, (1, "b"): 3, (2, "a"): 1}


def test_rounding_goes_to_the_largest_remainders() -> None:
    """5 of 7 + 2 + 1: shares 3.5, 1.0 and 0.5; the place left over goes to one of the halves, and 5 are taken."""
    found = sample(pairs_of((1, "a", 7), (1, "b", 2), (2, "a", 1)), 5, seed=1)
    counts = Counter(found.select("iteration", "feature").rows())
    assert sum(counts.values()) == 5
    assert counts[1, "b"] == 1
    assert counts[1, "a"] in (3, 4)


def test_missing_iterations_and_features_are_strata_too() -> None:
    found = sample(pairs_of((None, None, 50), (1, None, 50)), 10, seed=1)
    assert Counter(found["iteration"]) == {None: 5, 1: 5}
    without = pairs_of((None, None, 20)).drop("iteration", "feature")
    assert sample(without, 5, seed=1).height == 5
    assert sample(without, 5, seed=1).columns == without.columns


def test_the_order_of_rows_means_nothing_and_the_seed_does() -> None:
    pairs = pairs_of((1, "a", 40), (2, "b", 40))
    first = sample(pairs, 20, seed=1)
    assert first.equals(sample(pairs.reverse(), 20, seed=1))
    assert first.equals(sample(pairs.lazy(), 20, seed=1))
    assert set(first["pair_id"]) != set(sample(pairs, 20, seed=2)["pair_id"])


@pytest.mark.parametrize("n", [None, 80, 1000])
def test_all_are_taken_where_as_many_are_wanted(n: int | None) -> None:
    pairs = pairs_of((1, "a", 40), (2, "b", 40))
    assert sample(pairs, n, seed=1).equals(pairs.sort("pair_id"))
    assert sample(pairs.clear(), n, seed=1).is_empty()


def test_the_forecast_of_an_audit_is_the_one_by_hand() -> None:
    """3 pairs in 2 orders; a count of 100 a prompt and 4 at most a reply, at 2 and 5 a million."""
    found = estimate(
        pairs_of((1, "a", 3)).lazy(),
        Judge(name="J", max_new_tokens=4),
        Prices(prompt=2.0, completion=5.0),
        lambda c: [100] * len(c),
    )
    assert (found.pairs, found.requests, found.prompt_tokens, found.completion_tokens) == (3, 6, 600, 24)
    assert found.cost == pytest.approx((600 * 2.0 + 24 * 5.0) / 1e6)
    assert found.most_requests == 18
    assert found.most_cost == pytest.approx(((found.most_tokens - 72) * 2.0 + 72 * 5.0) / 1e6)
    assert 6 in found.headline().values()


def test_an_estimate_without_prices_has_no_cost() -> None:
    assert estimate(pairs_of((1, "a", 1)).lazy(), Judge(name="J"), Prices(), rough_tokens).cost is None


def test_four_letters_are_about_a_token() -> None:
    """5 + 4 characters are 9, and 9 / 4 is 3 rounded up."""
    assert rough_tokens([[{"role": "user", "content": "12345"}, {"role": "user", "content": "1234"}]]) == [3]


@pytest.mark.parametrize(
    ("judge", "policy"),
    [
        ({"name": "gpt-4o"}, "gpt-4o"),
        ({"name": "GPT-4o"}, "openai/gpt-4o"),
        ({"name": "org/model"}, "org/model@sso-2"),
        ({"name": "strict", "model": "org/model"}, "org/model"),
        ({"name": "model"}, "/models/model/"),
        ({"name": "@cf/org/model"}, "@cf/org/model"),
    ],
)
def test_a_judge_that_wrote_the_pairs_is_refused(judge: dict[str, str], policy: str) -> None:
    with pytest.raises(ConfigError, match=r"wrote some of these pairs .*allow_self"):
        check_independent(Judge(**judge), [None, "another", policy], [])
    with pytest.raises(ConfigError, match=r"filtered these pairs: .*allow_self"):
        check_independent(Judge(**judge), [], [policy])


def test_a_judge_that_is_nearly_called_like_another_is_welcome() -> None:
    check_independent(Judge(name="gpt-4o"), [None, "gpt-4o-mini", "", "org/gpt"], ["gpt-4"])
    check_independent(Judge(name="@cf/org/one"), ["@cf/org/two"], ["@cf/org/three"])


def test_labelled_pairs_come_first_in_each_stratum() -> None:
    pairs = pairs_of((1, "a", 40), (2, "b", 40))
    labelled = pairs.sample(12, seed=3)
    drawn = sample(pairs, 20, seed=1, first=labelled)
    assert set(labelled["pair_id"]) <= set(drawn["pair_id"])
    assert drawn["iteration"].value_counts().sort("iteration")["count"].to_list() == [10, 10]
