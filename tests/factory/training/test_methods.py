"""Presets: which conditionals a method reads, and that the loss is that of an implementation written apart from it."""

import itertools

import numpy as np
import pytest
import torch

from factory.config import METHODS, Training
from factory.training.conditionals import PRESETS, Conditional
from factory.training.methods import method_of
from factory.training.sso import Scored


def needed(**options):
    return {f"{c.reply}|{c.view}" for c in method_of(Training(**options)).needed}


PLAIN = {"chosen|plain", "rejected|plain"}
GOOD = {"chosen|good", "rejected|good"}


def test_every_method_of_the_configuration_has_a_preset():
    assert set(PRESETS) == set(METHODS) - {"none"}


def test_only_what_the_loss_reads_is_computed():
    assert needed(method="sso") == PLAIN | GOOD | {"original|bad", "chosen|bad"}
    assert needed(method="sso", steering="naive") == PLAIN | GOOD | {"rejected|bad", "chosen|bad"}
    assert needed(method="sso", weight="w_prime") == PLAIN | GOOD | {"original|good", "original|bad", "chosen|bad"}
    assert needed(method="sso_no_g") == PLAIN
    assert needed(method="sso_no_g", weight="w_prime") == PLAIN | {"original|good", "original|bad"}
    assert needed(method="sso_no_w") == needed(method="sso")
    assert needed(method="pbaa") == needed(method="annotated") == PLAIN
    assert needed(method="sso", gamma=0) == PLAIN


def test_conditionals_come_view_by_view():
    views = [conditional.view for conditional in method_of(Training(weight="w_prime")).needed]
    assert views == sorted(views, key=["plain", "good", "bad"].index)


ALL = [Conditional(r, v) for v in ("plain", "good", "bad") for r in ("chosen", "rejected", "original")]


def numbers(seed=0, pairs=5):
    """Sums, token counts and reference sums of all nine conditionals."""
    random = np.random.default_rng(seed)
    tokens = {reply: random.integers(1, 200, pairs) for reply in ("chosen", "rejected", "original")}
    mean = {c: -random.uniform(0.2, 4, pairs) for c in ALL}
    sums = {c: mean[c] * tokens[c.reply] for c in ALL}
    reference = {c: sums[c] + random.normal(0, 3, pairs) for c in ALL}
    return sums, tokens, reference


def by_the_paper(config, sums, tokens, reference):
    """Equations 1 to 6 in float64 numpy, written straight down."""

    def log_ratio(reply, view):
        c = Conditional(reply, view)
        if config.loss == "simpo":
            return sums[c] / tokens[reply]
        ratio = sums[c] - reference[c]
        return ratio / tokens[reply] if config.loss == "ipo" else ratio

    def base(view, a, b):
        h = log_ratio(a, view) - log_ratio(b, view)
        if config.loss == "ipo":
            return (h - 1 / (2 * config.beta)) ** 2
        if config.loss == "hinge":
            return np.maximum(0, 1 - config.beta * h)
        return np.log1p(np.exp(-(config.beta * h - (config.simpo_margin if config.loss == "simpo" else 0))))

    def mean(reply, view):
        return sums[Conditional(reply, view)] / tokens[reply]

    plain = base("plain", "chosen", "rejected")
    g, w = 0, 1
    if config.method in ("sso", "sso_no_w"):
        g = base("good", "chosen", "rejected")
        g = g + base("bad", "original" if config.steering == "original" else "rejected", "chosen")
    if config.method in ("sso", "sso_no_g"):
        names = ("chosen", "plain", "rejected", "plain")
        a, u, b, v = names if config.weight == "w" else ("original", "good", "original", "bad")
        w = 1 / (1 + np.exp(config.alpha * mean(a, u) + (1 - config.alpha) * mean(b, v)))
    if config.weight_scope == "steering":
        return w * config.gamma * g + plain
    return w * (config.gamma * g + plain)


def by_the_factory(config, sums, tokens, reference):
    method = method_of(config)
    given = {
        c: Scored(torch.tensor(sums[c]), torch.tensor(tokens[c.reply]), torch.tensor(reference[c]))
        for c in method.needed
    }
    return method.terms(given).loss.numpy()


@pytest.mark.parametrize(
    ("loss", "method", "steering", "weight", "scope"),
    list(
        itertools.product(
            ("ipo", "dpo", "hinge", "simpo"),
            ("sso", "sso_no_w", "sso_no_g", "pbaa", "annotated"),
            ("original", "naive"),
            ("w", "w_prime"),
            ("all", "steering"),
        )
    ),
)
def test_every_variant_equals_the_paper(loss, method, steering, weight, scope):
    if (method, scope) == ("sso_no_g", "steering"):
        scope = "all"  # there is no G to weigh, and the configuration says so
    config = Training(loss=loss, method=method, steering=steering, weight=weight, weight_scope=scope)
    given = numbers()
    np.testing.assert_allclose(by_the_factory(config, *given), by_the_paper(config, *given), rtol=1e-12)


def test_the_variants_differ():
    """The table above would prove nothing if its options did nothing."""
    given = numbers()
    settings = [{"method": name} for name in ("sso", "sso_no_w", "sso_no_g", "pbaa")]
    settings += [{"steering": "naive"}, {"weight": "w_prime"}, {"weight_scope": "steering"}, {"loss": "dpo"}]
    results = [by_the_factory(Training(**options), *given).tolist() for options in settings]
    assert all(a != b for a, b in itertools.combinations(results, 2))


def test_gradient_of_w_can_be_switched_off():
    def gradient(**options):
        sums, tokens, reference = numbers()
        method = method_of(Training(method="sso_no_g", **options))
        policy = {c: torch.tensor(sums[c], requires_grad=True) for c in method.needed}
        scored = {
            c: Scored(policy[c], torch.tensor(tokens[c.reply]), torch.tensor(reference[c])) for c in method.needed
        }
        terms = method.terms(scored)
        terms.loss.sum().backward()
        return policy[Conditional("chosen", "plain")].grad, terms, tokens

    attached, terms, tokens = gradient()
    detached, _, _ = gradient(weight_gradient=False)
    w, loss = terms.weight.detach(), (terms.loss / terms.weight).detach()
    # d(W L) = W dL + L dW, and dW = -alpha W (1 - W) / |y|
    missing = -0.66 * w * (1 - w) * loss / torch.tensor(tokens["chosen"])
    assert torch.allclose(attached, detached + missing)
