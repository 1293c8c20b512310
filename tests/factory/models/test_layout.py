"""How prompts and replies become tensors, worked by hand on a prompt of two tokens with replies of two and one."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from factory.models.layout import Encoded, buckets, layout

ITEM = Encoded([10, 11], ([20, 21], [30]))
OTHER = Encoded([12], ([22],))


def test_flat_puts_all_items_in_one_row_without_padding():
    batch = layout([ITEM, OTHER], "flat")
    assert batch.input_ids.tolist() == [[10, 11, 20, 21, 30, 12, 22]]
    assert batch.position_ids.tolist() == [[0, 1, 2, 3, 2, 0, 1]]
    assert batch.attention_mask is None
    # Both replies of the first prompt are predicted from its last token, at place 1.
    assert batch.at.tolist() == [1, 2, 1, 5]
    assert batch.targets.tolist() == [20, 21, 30, 22]
    assert batch.owner.tolist() == [0, 0, 1, 2]
    assert batch.counts.tolist() == [2, 1, 1]


def test_flat_attention_sees_one_causal_sequence_per_reply():
    segments = layout([ITEM, OTHER], "flat").segments
    assert segments.gather.tolist() == [[0, 1, 2, 3], [0, 1, 4, 0], [5, 6, 0, 0]]
    # Each token is read back from a cell that holds it: token 4 from row 1, place 2.
    assert segments.gather.flatten()[segments.scatter].tolist() == [0, 1, 2, 3, 4, 5, 6]
    assert segments.scatter.tolist()[4] == 6


def test_masked_hides_the_first_reply_from_the_second():
    batch = layout([ITEM, OTHER], "masked")
    assert batch.input_ids.tolist() == [[10, 11, 20, 21, 30], [12, 22, 0, 0, 0]]
    assert batch.position_ids.tolist() == [[0, 1, 2, 3, 2], [0, 1, 0, 0, 0]]
    assert batch.attention_mask[0, 0].int().tolist() == [
        [1, 0, 0, 0, 0],
        [1, 1, 0, 0, 0],
        [1, 1, 1, 0, 0],
        [1, 1, 1, 1, 0],
        [1, 1, 0, 0, 1],
    ]
    assert batch.attention_mask[1, 0, :2].int().tolist() == [[1, 0, 0, 0, 0], [1, 1, 0, 0, 0]]
    assert batch.at.tolist() == [1, 2, 1, 5]


def test_separate_has_a_row_for_each_reply():
    batch = layout([ITEM, OTHER], "separate")
    assert batch.input_ids.tolist() == [[10, 11, 20, 21], [10, 11, 30, 0], [12, 22, 0, 0]]
    assert batch.attention_mask.tolist() == [[1, 1, 1, 1], [1, 1, 1, 0], [1, 1, 0, 0]]
    assert batch.position_ids is None
    assert batch.at.tolist() == [1, 2, 5, 8]
    assert batch.targets.tolist() == [20, 21, 30, 22]


@pytest.mark.parametrize("kind", ["flat", "masked", "separate"])
def test_an_empty_reply_counts_nothing(kind):
    batch = layout([Encoded([10], ([], [20]))], kind)
    assert batch.counts.tolist() == [0, 1]
    assert batch.owner.tolist() == [1]
    assert batch.targets.tolist() == [20]


def test_an_empty_prompt_is_refused():
    with pytest.raises(ValueError, match="prompt without a token"):
        layout([Encoded([], ([20],))], "flat")


def test_an_item_counts_its_prompt_once_when_packed_and_per_reply_when_not():
    assert ITEM.tokens("flat") == ITEM.tokens("masked") == 5
    assert ITEM.tokens("separate") == 7
    assert ITEM.longest == 4


def test_moving_a_batch_moves_its_grid():
    batch = layout([ITEM], "flat").to("meta")
    assert batch.input_ids.device == batch.segments.gather.device == torch.device("meta")
    assert batch.attention_mask is None


def test_buckets_by_hand():
    # 7 alone would leave room for 3; then 5 + 5 fill ten exactly.
    assert buckets([5, 7, 5, 3], 10) == [[1], [0, 2], [3]]
    # Padded, two rows of 5 fill ten, and 3 beside 7 would count 7.
    assert buckets([5, 7, 5, 3], 10, padded=True) == [[1], [0, 2], [3]]
    assert buckets([4, 3, 3], 10) == [[0, 1, 2]]
    assert buckets([4, 3, 3], 10, padded=True) == [[0, 1], [2]]
    assert buckets([12, 1], 10) == [[0], [1]]
    assert buckets([], 10) == []


@given(st.lists(st.integers(1, 50)), st.integers(1, 120), st.booleans())
def test_buckets_hold_every_item_once_and_keep_the_budget(lengths, budget, padded):
    groups = buckets(lengths, budget, padded)
    assert sorted(item for group in groups for item in group) == list(range(len(lengths)))
    for group in groups:
        inside = [lengths[item] for item in group]
        cost = max(inside) * len(inside) if padded else sum(inside)
        assert cost <= budget or len(group) == 1
