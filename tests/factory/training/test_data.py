"""Pairs as examples: which views and replies are encoded, what is left out, and where a reference comes from."""

import polars as pl
import pytest

from factory.config import Training
from factory.errors import ConfigError
from factory.models.chat import frame_of, prompt_ids
from factory.training.data import PairReader, encode
from factory.training.methods import method_of
from principles.views import view_messages
from tests.tiny import tiny_tokenizer
from tests.training_pairs import scored_pairs

TOKENIZER = tiny_tokenizer()


def reader(max_length=512, **options):
    return PairReader(method_of(Training(**options)).needed, TOKENIZER, False, max_length)


def test_an_example_has_the_views_the_method_reads():
    pairs = scored_pairs(1)
    example = encode(pairs, reader()).examples[0]
    prompt = pairs["prompt"][0]
    messages = [view_messages(prompt, system) for system in (None, "Be lively.", "Be dull and slow.")]
    assert [list(item.prompt) for item in example.items] == [prompt_ids(TOKENIZER, turns) for turns in messages]
    plain, good, bad = example.items
    assert good.replies == plain.replies
    assert bad.replies[0] == plain.replies[0], "y+ comes before y° in the order of the schema"
    assert TOKENIZER.decode(bad.replies[1]) == "The engine 0<|im_end|>"
    assert example.counts == [len(reply) for item in example.items for reply in item.replies]


def test_annotated_reads_the_plain_view_alone():
    pairs = scored_pairs(1).drop("system_good", "system_bad", "original", "finish_chosen")
    example = encode(pairs, reader(method="annotated")).examples[0]
    assert len(example.items) == 1
    assert len(example.counts) == 2


def test_a_finished_reply_has_its_end_token_and_a_cut_one_has_not():
    pairs = scored_pairs(2).with_columns(finish_chosen=pl.lit(None, pl.String))
    first, second = encode(pairs, reader(method="pbaa")).examples
    end = frame_of(TOKENIZER).end
    assert [reply[-1] == end for reply in first.items[0].replies] == [True, True]
    assert [reply[-1] == end for reply in second.items[0].replies] == [True, False], "row 1's rejected reply was cut"


def test_dropped_are_counted_by_reason_and_nothing_is_cut():
    pairs = scored_pairs(4).with_columns(
        original=pl.Series(["a", None, "a", "a"]),
        system_bad=pl.Series(["b", "b", None, "b"]),
        chosen=pl.Series(["c", "c", "c", "long " * 100]),
    )
    found = encode(pairs, reader(max_length=60))
    assert found.dropped == {"missing_view": 2, "too_long": 1}
    assert len(found.examples) + sum(found.dropped.values()) == len(pairs)
    assert found.examples[0].pair_id == pairs["pair_id"][0]


def test_the_longest_view_decides_what_is_too_long():
    longest = max(item.longest for item in encode(scored_pairs(1), reader()).examples[0].items)
    assert len(encode(scored_pairs(1), reader(longest)).examples) == 1
    with pytest.raises(ConfigError, match=rf"1 too_long; longest allowed: {longest - 1} tokens"):
        encode(scored_pairs(1), reader(longest - 1))


def test_a_reply_without_a_token_is_left_out():
    pairs = scored_pairs(2).with_columns(rejected=pl.Series(["", ""]))
    found = encode(pairs, reader(method="pbaa"))
    assert found.dropped == {"empty_reply": 1}, "the finished empty one still has its end token"


def test_no_pair_with_views_is_a_config_error():
    pairs = scored_pairs(2).drop("system_good")
    with pytest.raises(ConfigError, match="use annotated or pbaa"):
        encode(pairs, reader())
    with pytest.raises(ConfigError, match="there is no pair"):
        encode(scored_pairs(2).clear(), reader())


@pytest.mark.parametrize("missing", [None, float("nan")])
def test_measured_comes_from_the_columns_and_only_whole(missing):
    scores = {
        f"logp_{r}_{v}": pl.lit(-1.5) for r in ("chosen", "rejected", "original") for v in ("plain", "good", "bad")
    }
    pairs = scored_pairs(2).with_columns(**scores).with_columns(logp_rejected_good=pl.Series([-0.5, missing]))
    first, second = encode(pairs, reader()).examples
    assert first.measured == (-1.5, -1.5, -1.5, -0.5, -1.5, -1.5)
    assert second.measured is None
    # The column that is missing is none that annotated reads.
    assert encode(pairs, reader(method="annotated")).examples[1].measured == (-1.5, -1.5)


def test_keys_tell_contents_apart_and_ignore_the_rest():
    pairs = scored_pairs(2)
    keys = [example.key for example in encode(pairs, reader()).examples]
    again = [example.key for example in encode(pairs.with_columns(source=pl.lit("x")), reader()).examples]
    other = [example.key for example in encode(pairs.with_columns(original=pl.lit("x")), reader()).examples]
    assert keys == again
    assert len({*keys, *other}) == 4


def test_a_model_without_a_system_role_gets_it_folded():
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = tokenizer.chat_template.replace(
        "{% for message in messages %}",
        "{% for message in messages %}{% if message['role'] == 'system' %}{{ raise_exception('no') }}{% endif %}",
    )
    example = encode(scored_pairs(1), reader()._replace(tokenizer=tokenizer)).examples[0]
    assert "user\nBe lively.\n\nWrite about" in tokenizer.decode(example.items[1].prompt)
