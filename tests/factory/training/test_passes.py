"""Passes by view: the gradient of eq. 1 is that of one pass, whatever W reads; each view is held by itself."""

import pytest
import torch
from transformers import AutoTokenizer

from factory.config import Training
from factory.training.batches import MicroBatch, computed, passes
from factory.training.data import PairReader, encode
from factory.training.methods import method_of
from tests.training_pairs import scored_pairs, tiny_policy

VARIANTS = [
    {},
    {"weight": "w_prime"},
    {"method": "sso_no_w"},
    {"method": "sso_no_g", "weight": "w_prime"},
    {"weight_scope": "steering"},
    {"weight_gradient": False},
    {"steering": "naive"},
    {"loss": "dpo"},
    {"steering_share": 0.5},
]


@pytest.fixture(scope="module")
def read(tmp_path_factory):
    tokenizer = AutoTokenizer.from_pretrained(tiny_policy(tmp_path_factory.mktemp("policy")).name)

    def micro(method):
        whole = encode(scored_pairs(3), PairReader(method.needed, tokenizer, False, 512)).examples
        return MicroBatch((*whole, whole[0].plain) if method.config.steering_share < 1 else tuple(whole))

    return micro


@pytest.mark.parametrize("options", VARIANTS, ids=str)
def test_views_one_after_another_have_the_gradient_of_all_at_once(read, options):
    """In float64, with the log-probabilities themselves as the weights that are learned."""
    method = method_of(Training(gamma=0.7, **options))
    micro = read(method)
    random = torch.Generator().manual_seed(2)
    true, reference = (-3.0 * torch.rand(len(micro.counts), generator=random).double() * micro.counts for _ in range(2))

    def gradient(by_view):
        learned = true.clone().requires_grad_()
        sums = torch.zeros_like(true)
        for one in passes(method, micro, by_view):
            with torch.set_grad_enabled(one.gradient):
                sums = sums.detach().index_copy(0, one.at, learned[one.at])
                loss = computed(method, micro, sums, micro.counts, reference).terms.loss.sum()
                if one.gradient:
                    loss.backward()
        return loss.item(), learned.grad

    loss, expected = gradient(by_view=False)
    again, found = gradient(by_view=True)
    assert again == pytest.approx(loss, rel=1e-12)
    assert torch.allclose(found, expected, rtol=1e-12, atol=0)
    assert expected.abs().min() > 0


@pytest.mark.parametrize(
    ("options", "first"), [({}, 1), ({"weight": "w_prime"}, 2), ({"method": "sso_no_w"}, 0), ({"method": "pbaa"}, 0)]
)
def test_only_what_the_weight_reads_goes_through_twice_and_views_never_together(read, options, first):
    method = method_of(Training(**options))
    micro = read(method)
    made = passes(method, micro, by_view=True)
    assert [one.gradient for one in made] == [False] * first + [True] * len(method.views)
    prompts = [{tuple(item.prompt) for item in one.items} for one in made]
    assert all(len(one.items) == len(micro.examples) for one in made)
    assert len({frozenset(one) for one in prompts[first:]}) == len(method.views)
