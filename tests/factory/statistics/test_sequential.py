"""The certificate: its risk and its cost to the last digit, and the laws of its ends."""

from functools import cache

import pytest

from factory.errors import InputError
from factory.statistics.sequential import ABOVE, BELOW, Certifier

PAIRS, SHARE = 80, 0.75


@cache
def certifier(pairs: int, share: float) -> Certifier:
    return Certifier(pairs, share)


@cache
def verdict(pairs: int, share: float, right: int, drawn: int) -> str | None:
    return certifier(pairs, share).verdict(right, drawn)


def exactly(pairs: int, share: float, true: int) -> tuple[dict[str, float], float]:
    """Probability of each verdict, and the mean number of draws, where `true` of the pairs are right.

    Walks every stream at once: how likely it is that so many of so many draws are right and nothing is certain yet.
    Streams rarer than one in ten millions are left out.
    """
    told, alive, mean = {ABOVE: 0.0, BELOW: 0.0}, {0: 1.0}, 0.0
    for drawn in range(pairs):
        mean += sum(alive.values())
        after: dict[int, float] = {}
        for right, chance in alive.items():
            for hit, odds in ((1, true - right), (0, pairs - drawn - true + right)):
                if odds > 0:
                    after[right + hit] = after.get(right + hit, 0.0) + chance * odds / (pairs - drawn)
        alive = {}
        for right, chance in after.items():
            said = verdict(pairs, share, right, drawn + 1) if chance > 1e-7 else None
            if said is not None:
                told[said] += chance
            elif chance > 1e-7:
                alive[right] = chance
    assert not alive, "all pairs were drawn and nothing was said"
    return told, mean


@pytest.mark.parametrize("share", [0.5, 0.75, 0.9])
def test_no_more_than_one_in_twenty_certificates_is_false_whatever_is_true(share: float) -> None:
    """Over all streams, looked at after every draw; and the risk is made use of."""
    enough = round(PAIRS * share)
    risks = [exactly(PAIRS, share, true)[0][BELOW if true >= enough else ABOVE] for true in range(PAIRS + 1)]
    assert max(risks) <= 0.05
    assert max(risks) > 0.015


def test_a_certificate_costs_less_than_half_of_a_sample_that_is_fixed_beforehand() -> None:
    """385 pairs give an interval of 5 points either side, whatever the share; here the truth is 0.1 away, of 400."""
    for true in (0.65, 0.85):
        told, mean = exactly(400, SHARE, round(400 * true))
        assert mean <= 385 / 2
        assert told[ABOVE if true > SHARE else BELOW] > 0.99


def test_when_all_are_drawn_the_answer_is_known() -> None:
    for pairs in (1, 2, 3, 7, 20):
        test = Certifier(pairs, SHARE)
        for right in range(pairs + 1):
            assert test.verdict(right, pairs) == (ABOVE if right / pairs >= SHARE else BELOW)
            assert test.ends(right, pairs) == (right / pairs, right / pairs)
            assert test.at_least(right, pairs) == 0


def test_ends_say_what_verdicts_say() -> None:
    """A count is certified exactly where it lies up to the low end, or over the high one; ends are possible counts."""
    for drawn in (0, 5, 19, 40, 79):
        for right in range(0, drawn + 1, 3):
            low, high = Certifier(PAIRS, SHARE).ends(right, drawn)
            assert right / PAIRS <= low <= high <= (PAIRS - drawn + right) / PAIRS
            for count in range(1, PAIRS):
                verdict = Certifier(PAIRS, count / PAIRS).verdict(right, drawn)
                expected = ABOVE if count / PAIRS <= low + 1e-9 else BELOW if count / PAIRS > high + 1e-9 else None
                assert verdict == expected


def test_no_verdict_comes_before_the_least_number_of_draws() -> None:
    for drawn in range(0, PAIRS, 5):
        for right in range(drawn + 1):
            if verdict(PAIRS, SHARE, right, drawn) is None:
                least = certifier(PAIRS, SHARE).at_least(right, drawn)
                assert least >= 1
                soon = [(right + hits, drawn + more) for more in range(1, least) for hits in range(more + 1)]
                assert {verdict(PAIRS, SHARE, *state) for state in soon} <= {None}
                if drawn + least < PAIRS:
                    then = [(right + least, drawn + least), (right, drawn + least)]
                    assert {verdict(PAIRS, SHARE, *state) for state in then} != {None}


@pytest.mark.parametrize("share", [0.0, 1.0, -1.0, 75.0, float("nan")])
def test_what_is_no_share_is_told(share: float) -> None:
    with pytest.raises(InputError, match="a share to certify lies between 0 and 1"):
        Certifier(10, share)
