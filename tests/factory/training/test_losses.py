"""Base losses on margins worked by hand."""

from math import exp, log

import pytest
import torch

from factory.config import Training
from factory.config.training import LOSSES
from factory.training.losses import Dpo, Hinge, Ipo, Simpo
from factory.training.methods import method_of

BY_HAND = {
    # beta 0.2: 1 / (2 * 0.2) = 2.5; (0 - 2.5)^2 = 6.25, (2.5 - 2.5)^2 = 0, (-1 - 2.5)^2 = 12.25
    "ipo": [(0.0, 6.25), (2.5, 0.0), (-1.0, 12.25)],
    # log(1 + e^{-0.2 h}): log 2 at 0, log(1 + e^-1) at 5
    "dpo": [(0.0, log(2)), (5.0, log(1 + exp(-1)))],
    # 1 - 0.2 h, not below 0: 1 at 0, 0 from 5 on, 2 at -5
    "hinge": [(0.0, 1.0), (5.0, 0.0), (7.0, 0.0), (-5.0, 2.0)],
    # log(1 + e^{-(0.2 h - 0.5)}): at h = 2.5 the target is met and it is log 2
    "simpo": [(2.5, log(2)), (0.0, log(1 + exp(0.5)))],
}


@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_is_the_one_by_hand(name):
    loss = method_of(Training(loss=name, beta=0.2, simpo_margin=0.5)).loss
    margins, values = zip(*BY_HAND[name], strict=True)
    assert loss(torch.tensor(margins)).tolist() == pytest.approx(list(values), abs=1e-6)


@pytest.mark.parametrize("name", LOSSES)
def test_a_better_margin_never_costs_more(name):
    """Up to IPO's optimum at 2.5, where it begins to rise again."""
    values = method_of(Training(loss=name, beta=0.2)).loss(torch.linspace(-20, 2.5, 50))
    assert (values.diff() <= 0).all()


@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_is_finite_at_extreme_margins(name):
    assert method_of(Training(loss=name)).loss(torch.tensor([-1e4, 1e4])).isfinite().all()


def test_each_loss_declares_reference_and_normalisation():
    declared = {loss: (loss.needs_reference, loss.normalises) for loss in (Ipo, Dpo, Hinge, Simpo)}
    assert declared == {Ipo: (True, True), Dpo: (True, False), Hinge: (True, False), Simpo: (False, True)}


def test_options_of_the_configuration_reach_the_loss():
    assert method_of(Training(loss="simpo", beta=2.0, simpo_margin=0.7)).loss == Simpo(2.0, 0.7)
    assert method_of(Training(loss="ipo", beta=0.3)).loss == Ipo(0.3)
