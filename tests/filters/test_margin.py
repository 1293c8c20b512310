import pytest

from factory.errors import ConfigError
from tests.filters.table import row, run, table, votes

FIRST, SECOND = "chosen_first", "rejected_first"


def test_the_margin_by_log_probabilities_is_the_one_by_hand():
    """(good - bad) of chosen minus that of rejected: 0.4 - (-0.2) = 0.6; 0.1 - 0.2 = -0.1; 0.25 - 0 = 0.25."""
    names = ("logp_chosen_good", "logp_chosen_bad", "logp_rejected_good", "logp_rejected_bad")
    values = {
        "wide": (-1.0, -1.4, -1.2, -1.0),
        "turned": (-1.0, -1.1, -1.0, -1.2),
        "quarter": (-1.0, -1.25, -1.0, -1.0),
        "endless": (float("-inf"), float("-inf"), -1.0, -1.0),
    }
    pairs = table(
        [row(tag, **dict(zip(names, logps, strict=True))) for tag, logps in values.items()] + [row("unscored")]
    )
    assert run({"use": "margin", "by": "logprobs"}, pairs).reasons == {
        "wide": None,
        "turned": "small",
        "quarter": None,
        "unscored": "unknown",
        "endless": "unknown",
    }
    strict = run({"use": "margin", "by": "logprobs", "min": 0.25}, pairs)
    assert (strict.reasons["quarter"], strict.details["turned"]) == (None, "-0.1")


def test_the_margin_by_votes_is_the_mean_of_the_judges():
    """Judge A (0.9 + 0.7) / 2 = 0.8, judge B 0.4: mean 0.6, margin 0.2."""
    pairs = table([row("sure", chosen="one"), row("silent", chosen="two"), row("half silent", chosen="three")])
    sure, silent, half = pairs["pair_id"]
    table_of_votes = votes(
        (sure, "A", FIRST, "chosen"),
        (sure, "A", SECOND, "chosen"),
        (sure, "B", FIRST, "rejected"),
        (silent, "A", FIRST, "chosen"),
        (half, "A", FIRST, "chosen"),
        (half, "B", FIRST, "chosen"),
        p_chosen=[0.9, 0.7, 0.4, None, 0.9, float("nan")],
    )
    for least, reason in ((0.19, None), (0.21, "small")):
        found = run({"use": "margin", "min": least}, pairs, table_of_votes)
        assert found.reasons == {"sure": reason, "silent": "unknown", "half silent": "unknown"}
    assert found.details["sure"] == "0.2"


def test_a_margin_by_votes_needs_votes():
    with pytest.raises(ConfigError, match=r"^the filter margin needs votes"):
        run({"use": "margin"}, table([row("any")]))
