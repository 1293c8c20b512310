"""The metrics of a step: sums that add up over micro-batches, means per pair, absent terms as None."""

import json
from math import exp

import pytest
import torch

from factory.training.losses import Ipo
from factory.training.sso import ComparedPairs, PairLogps, Scored, combine
from factory.training.stats import MetricsFile, means, measured


def sums(chosen, rejected, weight=None):
    """One pair per number; two tokens a reply; reference 0. IPO with beta 0.5 wants a margin of 1."""
    replies = [Scored(torch.tensor(values), torch.tensor([2] * len(values)), torch.zeros(len(values)))
               for values in (chosen, rejected)]  # fmt: skip
    terms = combine(Ipo(0.5), ComparedPairs(PairLogps(*replies)), weight, 0.1)
    return measured(terms, PairLogps(*replies), 10 * len(chosen))


def test_means_by_hand():
    """Margins (-2+4)/2 = 1 and (-6+2)/2 = -2: losses 0 and 9, one of two right."""
    found = means(sums([-2.0, -6.0], [-4.0, -2.0]))
    assert found["pairs"] == 2
    assert found["tokens"] == 20
    assert found["loss"] == pytest.approx(4.5)
    assert found["margin"] == pytest.approx(-0.5)
    assert found["accuracy"] == 0.5
    assert found["on_policy_chosen"] == pytest.approx((exp(-1) + exp(-3)) / 2)
    assert found["on_policy_rejected"] == pytest.approx((exp(-2) + exp(-1)) / 2)
    assert found["weight"] is None
    assert found["steering"] is None


def test_micro_batches_add_up_to_the_step():
    whole = means(sums([-2.0, -6.0, -1.0], [-4.0, -2.0, -3.0]))
    parts = means(sums([-2.0], [-4.0]) + sums([-6.0, -1.0], [-2.0, -3.0]))
    assert {k: v for k, v in whole.items() if v is not None} == pytest.approx(
        {k: v for k, v in parts.items() if v is not None}
    )


def test_weight_is_a_mean_too():
    assert means(sums([-2.0, -6.0], [-4.0, -2.0], torch.tensor([0.25, 0.75])))["weight"] == 0.5


def test_rewinding_forgets_later_steps_and_a_torn_line(tmp_path):
    file = MetricsFile(tmp_path / "metrics.jsonl")
    for step in (1, 2, 3):
        file.append({"step": step, "loss": 0.5})
    with (tmp_path / "metrics.jsonl").open("a") as torn:
        torn.write('{"step": 4, "lo')
    file.rewind(2)
    assert [json.loads(line)["step"] for line in (tmp_path / "metrics.jsonl").read_text().splitlines()] == [1, 2]
    file.rewind(0)
    assert file.read() == []
