"""Sampled steering: the expected gradient is the exact one, draws hang on seed, step and pair alone, W' is refused."""

import itertools

import pytest
import torch
from transformers import AutoTokenizer

from factory.config import Training
from factory.config.load import override
from factory.errors import ConfigError
from factory.models.layout import layout
from factory.models.load import load_model
from factory.models.sequences import plan_for, reply_logps
from factory.training import TrainingJob
from factory.training.batches import MicroBatch, computed, micro_batches, steps, thinned
from factory.training.data import PairReader, encode
from factory.training.methods import method_of
from factory.training.run import train
from factory.training.stats import MetricsFile
from tests.factory.training.test_methods import by_the_paper
from tests.training_pairs import scored_pairs, tiny_policy

SHARED = Training(steering_share=0.25)
PAIRS = scored_pairs(6)


@pytest.fixture(scope="module")
def policy(tmp_path_factory):
    torch.set_num_threads(1)
    return tiny_policy(tmp_path_factory.mktemp("policy"))


@pytest.fixture(scope="module")
def examples(policy):
    reader = PairReader(method_of(SHARED).needed, AutoTokenizer.from_pretrained(policy.name), False, 512)
    return encode(PAIRS, reader).examples


class Numbers:
    """Log-probabilities of every conditional of every pair, float64, that a gradient can be taken of."""

    def __init__(self, examples):
        random = torch.Generator().manual_seed(4)
        shape = len(examples), len(method_of(SHARED).needed)
        self.counts = torch.tensor([example.counts for example in examples])
        means = -3.5 * torch.rand(shape, generator=random, dtype=torch.float64) - 0.2
        self.sums = means * self.counts
        self.reference = self.sums + 3 * torch.randn(shape, generator=random, dtype=torch.float64)
        self.place = {example.pair_id: number for number, example in enumerate(examples)}

    def of(self, config, steps):
        """The terms of the pairs of `steps` as one micro-batch, and the gradient for each step and pair."""
        sums = self.sums.repeat(len(steps), 1, 1).requires_grad_()
        pairs = in_one([e._replace(key=str(number)) for number, step in enumerate(steps) for e in step])
        rows = [(int(e.key), self.place[e.pair_id], len(e.counts)) for e in pairs]
        flat = torch.cat([sums[step, pair, :length] for step, pair, length in rows])
        counts, reference = (
            torch.cat([table[pair, :length] for _, pair, length in rows]) for table in (self.counts, self.reference)
        )
        terms = computed(method_of(config), MicroBatch(tuple(pairs)), flat, counts, reference).terms
        (gradient,) = torch.autograd.grad(terms.loss.sum(), sums)
        return terms, rows, gradient


def in_one(step):
    (micro,) = micro_batches(step, "flat", 10**9)
    return list(micro.examples)


@pytest.mark.parametrize("options", [{}, {"weight_scope": "steering"}, {"method": "sso_no_w"}, {"loss": "dpo"}])
def test_the_mean_of_2000_drawn_gradients_is_the_exact_one(examples, options):
    """Within three standard errors of each of its 36 numbers; those that no draw moves are equal."""
    config = Training(**options)
    numbers = Numbers(examples)
    exact = numbers.of(config, [examples])[-1][0]
    sampled = config.model_copy(update={"steering_share": 0.25})
    gradients = numbers.of(sampled, thinned([examples] * 2000, seed=7, share=0.25))[-1]
    error = gradients.std(0) / 2000**0.5
    assert ((gradients.mean(0) - exact).abs() <= 3 * error + 1e-9).all()
    assert (gradients.std(0) > 1e-6).any(), "there was something to draw"


@pytest.mark.parametrize("drawn", list(itertools.product([True, False], repeat=2)))
def test_a_drawn_pair_counts_its_steering_four_times_and_another_none(examples, drawn):
    """Against the equations written down apart from the factory, pair by pair, in float64."""
    numbers = Numbers(examples[:2])
    step = [e if whole else e.plain for e, whole in zip(examples[:2], drawn, strict=True)]
    found, rows, _ = numbers.of(SHARED, [step])
    needed = method_of(SHARED).needed
    for place, (_, number, length) in enumerate(rows):
        sums, tokens, reference = ({} for _ in range(3))
        for column, conditional in enumerate(needed):
            sums[conditional] = numbers.sums[number, column].item()
            tokens[conditional.reply] = numbers.counts[number, column].item()
            reference[conditional] = numbers.reference[number, column].item()
        gamma = 0.1 / 0.25 if length == 6 else 0
        expected = by_the_paper(Training(gamma=gamma), sums, tokens, reference)
        assert found.loss[place].item() == pytest.approx(float(expected), rel=1e-12)
        assert (found.steering[place].item() == 0) == (length == 2)


def test_half_a_step_through_a_real_model_is_the_expectation(policy, examples):
    """Two pairs at q = 0.5: the four equally likely draws average to the exact gradient of every weight."""
    model = load_model(policy, "cpu", torch.float32)
    plan, pair = plan_for(model), examples[:2]
    exact = Training(method="sso", loss="simpo")
    half = exact.model_copy(update={"steering_share": 0.5})

    def gradient(config, step):
        micro = MicroBatch(tuple(in_one(step)))
        batch = layout([item for one in micro.examples for item in one.items], plan.layout)
        found = computed(method_of(config), micro, reply_logps(model, batch, plan).sums, batch.counts, None)
        model.zero_grad()
        found.terms.loss.sum().backward()
        return {name: parameter.grad.clone() for name, parameter in model.named_parameters()}

    expected = gradient(exact, pair)
    draws = [[e if whole else e.plain for e, whole in zip(pair, coins, strict=True)]
             for coins in itertools.product([True, False], repeat=2)]  # fmt: skip
    found = [gradient(half, step) for step in draws]
    for name, value in expected.items():
        assert torch.allclose(sum(one[name] for one in found) / 4, value, atol=1e-5), name


def test_draws_hang_on_seed_step_and_pair_alone(examples):
    made = steps(examples, 1, 40, 6)
    drawn = thinned(made, 1, 0.25)
    whole = [[(step, e.pair_id) for e in pairs if len(e.items) == 3] for step, pairs in enumerate(drawn)]
    again = thinned([pairs[::-1] for pairs in made], 1, 0.25)
    assert [sorted(one) for one in whole] == [
        sorted((step, e.pair_id) for e in pairs if len(e.items) == 3) for step, pairs in enumerate(again)
    ]
    count = sum(map(len, whole))
    assert abs(count - 60) < 4 * (240 * 0.25 * 0.75) ** 0.5
    assert thinned(made, 2, 0.25) != drawn
    assert len({tuple(sorted(pair for _, pair in one)) for one in whole}) > 10, "each step draws anew"
    assert thinned(made, 1, 1.0) == made


def test_a_share_trains_the_same_pairs_with_fewer_tokens(policy, tmp_path):
    """A training end to end: fewer tokens, the same first margin, the same pairs."""
    config = Training(learning_rate=1e-4, batch_pairs=6, epochs=2, steering_share=0.25)
    found = {}
    for share in (1.0, 0.25):
        train(
            TrainingJob(
                PAIRS, policy, tmp_path / str(share), config.model_copy(update={"steering_share": share}), seed=1
            )
        )
        found[share] = MetricsFile(tmp_path / str(share) / "metrics.jsonl").read()
    assert found[0.25][0]["margin"] == pytest.approx(0, abs=1e-6)
    assert sum(line["tokens"] for line in found[0.25]) < 0.75 * sum(line["tokens"] for line in found[1.0])
    assert [line["pairs"] for line in found[0.25]] == [6, 6]
    assert found[0.25][0]["steering"] in [pytest.approx(12.5 * drawn / (6 * 0.25), abs=1e-3) for drawn in range(7)]


def test_w_prime_reads_what_would_be_left_out():
    with pytest.raises(ConfigError, match=r"weight: w_prime reads them of every pair; use weight: w or steering_share"):
        override({"weight": "w_prime", "steering_share": 0.25}, [], Training)
    assert override({"weight": "w_prime", "steering_share": 1}, [], Training)
    for wrong in (0, 1.5):
        with pytest.raises(ConfigError, match="steering_share"):
            override({"steering_share": wrong}, [], Training)
