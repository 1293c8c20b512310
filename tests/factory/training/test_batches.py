"""Steps and micro-batches: every pair once an epoch, budgets kept, processes even."""

from array import array

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from factory.models.layout import Encoded, layout
from factory.training.batches import MicroBatch, micro_batches, scored, steps
from factory.training.conditionals import Conditional
from factory.training.data import TrainingExample


def example(name, prompt=3, replies=(2, 1), views=1):
    items = tuple(
        Encoded(array("i", range(prompt + view)), tuple(array("i", range(n)) for n in replies)) for view in range(views)
    )
    return TrainingExample(str(name), str(name), items, None)


def test_steps_take_every_pair_once_an_epoch():
    pairs = [example(i) for i in range(7)]
    made = steps(pairs, seed=1, epochs=2, pairs=3)
    assert [len(step) for step in made] == [3, 3, 1, 3, 3, 1]
    first, second = ([e for step in made[i : i + 3] for e in step] for i in (0, 3))
    assert sorted(e.pair_id for e in first) == sorted(e.pair_id for e in second) == [str(i) for i in range(7)]
    assert first != second, "each epoch has its own order"


def test_steps_do_not_depend_on_row_order_but_on_the_seed():
    pairs = [example(i) for i in range(9)]
    assert steps(pairs, 1, 1, 4) == steps(pairs[::-1], 1, 1, 4)
    assert steps(pairs, 1, 1, 4) != steps(pairs, 2, 1, 4)


def test_micro_batches_by_hand():
    """Flat, pairs of 6, 12 and 9 tokens under a budget of 18: the 12 alone, then 9 + 6."""
    pairs = [example("a"), example("b", replies=(5, 4)), example("c", replies=(3, 3))]
    made = micro_batches(pairs, "flat", 18)
    assert [[e.pair_id for e in micro.examples] for micro in made] == [["c", "a"], ["b"]]
    # Separate, a pair is two rows as long as its longest: 10, 16 and 12; padded to 12, c and a are 24.
    made = micro_batches(pairs, "separate", 24)
    assert [[e.pair_id for e in micro.examples] for micro in made] == [["c", "a"], ["b"]]
    # Masked, a row each: 12 + 9 would be padded to 24.
    assert len(micro_batches(pairs, "masked", 23)) == 2
    assert len(micro_batches(pairs, "masked", 36)) == 1


@given(
    st.lists(st.tuples(st.integers(1, 20), st.integers(1, 9)), min_size=1, max_size=30),
    st.integers(1, 200),
    st.integers(1, 5),
    st.sampled_from(["flat", "masked", "separate"]),
)
def test_processes_have_equally_many_and_together_everything(sizes, budget, world, kind):
    pairs = [example(i, prompt, (reply, 1), views=2) for i, (prompt, reply) in enumerate(sizes)]
    shares = [micro_batches(pairs, kind, budget, world, rank) for rank in range(world)]
    assert len({len(share) for share in shares}) == 1
    seen = [e.pair_id for share in shares for micro in share if not micro.filler for e in micro.examples]
    assert sorted(seen) == sorted(e.pair_id for e in pairs)
    for micro in (micro for share in shares for micro in share):
        items = [item for one in micro.examples for item in one.items]
        assert layout(items, kind).input_ids.numel() <= budget or len(micro.examples) == 1


def test_by_view_the_budget_is_each_view_s():
    """Views of 6, 7 and 8 tokens each: 21 together, 8 by view."""
    pairs = [example(i, views=3) for i in range(4)]
    assert [len(micro.examples) for micro in micro_batches(pairs, "flat", 42)] == [2, 2]
    assert [len(micro.examples) for micro in micro_batches(pairs, "flat", 24, by_view=True)] == [3, 1]


def test_a_process_without_a_pair_gets_a_filler():
    shares = [micro_batches([example("a")], "flat", 100, 2, rank) for rank in range(2)]
    assert [share[0].filler for share in shares] == [False, True]


def test_scored_unfolds_pairs_and_conditionals():
    needed = [Conditional("chosen", "plain"), Conditional("rejected", "plain")]
    micro = MicroBatch((example("a"), example("b", replies=(5, 4))))
    counts = micro.counts
    found = scored(needed, torch.tensor([-1.0, -2.0, -3.0, -4.0]), counts, torch.tensor([-5.0, -6.0, -7.0, -8.0]))
    assert found[needed[0]].policy.tolist() == [-1.0, -3.0]
    assert found[needed[1]].tokens.tolist() == [1, 4]
    assert found[needed[1]].reference.tolist() == [-6.0, -8.0]
    assert scored(needed, torch.zeros(4), counts, None)[needed[0]].reference is None


@pytest.mark.parametrize("kind", ["flat", "separate"])
def test_a_micro_batch_holds_every_reply_in_order(kind):
    micro = MicroBatch((example("a", views=2), example("b", replies=(5, 4), views=2)))
    items = [item for one in micro.examples for item in one.items]
    assert layout(items, kind).counts.tolist() == micro.counts.tolist() == [2, 1, 2, 1, 5, 4, 5, 4]
