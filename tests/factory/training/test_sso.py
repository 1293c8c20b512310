"""The equations on numbers worked by hand."""

from math import exp

import pytest
import torch

from factory.training.losses import Dpo, Ipo, Simpo
from factory.training.sso import ComparedPairs, PairLogps, Scored, combine, margin, preference, steering, weight


def reply(policy, tokens, reference=None):
    given = None if reference is None else torch.tensor([float(reference)])
    return Scored(torch.tensor([float(policy)], requires_grad=True), torch.tensor([tokens]), given)


# Log-ratios +2 and -3; per token +0.5 and -1.5. So h is 5 summed and 2 per token.
PAIR = PairLogps(reply(-10, 4, -12), reply(-9, 2, -6))


def test_margin_summed_and_per_token():
    assert margin(Dpo(0.2), PAIR).item() == 5.0
    assert margin(Ipo(0.2), PAIR).item() == 2.0
    # Without reference: -10/4 - (-9/2) = 2
    assert margin(Simpo(2.0, 0.5), PAIR).item() == 2.0


def test_a_missing_reference_is_an_error():
    with pytest.raises(ValueError, match="Ipo needs the reference"):
        preference(Ipo(0.2), PairLogps(reply(-1, 1), reply(-2, 1)))


def test_weight_by_hand():
    """0.66 * -2 + 0.34 * -1 = -1.66; sigmoid(1.66) = 0.8402."""
    found = weight(torch.tensor([-2.0]), torch.tensor([-1.0]), 0.66)
    assert found.item() == pytest.approx(1 / (1 + exp(-1.66)))
    assert found.item() == pytest.approx(0.8402, abs=1e-4)


def test_weight_gradient_raises_the_average_probability():
    """dW/d pi~ = -alpha W (1 - W): going down in W goes up in probability. Detached, there is nothing to follow."""
    first, second = torch.tensor([-2.0], requires_grad=True), torch.tensor([-1.0], requires_grad=True)
    weight(first, second, 0.66).backward()
    w = 1 / (1 + exp(-1.66))
    assert first.grad.item() == pytest.approx(-0.66 * w * (1 - w))
    assert second.grad.item() == pytest.approx(-0.34 * w * (1 - w))
    assert not weight(first, second, 0.66, gradient=False).requires_grad


def test_steering_adds_both_views():
    """IPO at margins 2 and -2 with beta 0.2: 0.25 + 20.25."""
    swapped = PairLogps(PAIR.rejected, PAIR.chosen)
    assert steering(Ipo(0.2), PAIR, swapped).item() == pytest.approx(0.25 + 20.25)


def test_equation_1_is_the_sum_of_its_parts():
    """L = 0.25, G = 0.25 + 20.25, gamma = 0.1, W = 0.5: 0.5 * (2.05 + 0.25) = 1.15."""
    swapped = PairLogps(PAIR.rejected, PAIR.chosen)
    views, w = ComparedPairs(PAIR, PAIR, swapped), torch.tensor([0.5])

    def value(views, w, scope="all"):
        return combine(Ipo(0.2), views, w, 0.1, scope).loss.item()

    assert value(views, w) == pytest.approx(1.15)
    assert value(views, None) == pytest.approx(2.3)
    assert value(ComparedPairs(PAIR), w) == pytest.approx(0.125)
    assert value(ComparedPairs(PAIR), None) == pytest.approx(0.25)
    # steering: 0.5 * 2.05 + 0.25
    assert value(views, w, "steering") == pytest.approx(1.275)
    assert value(ComparedPairs(PAIR), w, "steering") == pytest.approx(0.25)


def test_terms_are_told_apart():
    terms = combine(Ipo(0.2), ComparedPairs(PAIR), None, 0.1)
    assert terms.margin.item() == 2.0
    assert terms.steering is None
    assert terms.weight is None
