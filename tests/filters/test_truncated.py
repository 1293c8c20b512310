import pytest

from tests.filters.table import row, run, table

PAIRS = table(
    [
        row("both stop", finish_chosen="stop", finish_rejected="stop", finish_original="length"),
        row("chosen cut", finish_chosen="length", finish_rejected="stop"),
        row("rejected cut", finish_chosen="stop", finish_rejected="length"),
        row("both cut", finish_chosen="length", finish_rejected="length"),
        row("unknown"),
        row("half known", finish_rejected="length"),
    ]
)


def test_a_cut_reply_drops_the_pair_and_an_unknown_ending_does_not():
    assert run({"use": "truncated"}, PAIRS).reasons == {
        "both stop": None,
        "chosen cut": "chosen_cut",
        "rejected cut": "rejected_cut",
        "both cut": "chosen_cut",
        "unknown": None,
        "half known": "rejected_cut",
    }


def test_only_the_named_replies_are_looked_at():
    reasons = run({"use": "truncated", "replies": ["original"]}, PAIRS).reasons
    assert [tag for tag, reason in reasons.items() if reason] == ["both stop"]
    assert reasons["both stop"] == "original_cut"


@pytest.mark.parametrize("word", ["LENGTH", "max_tokens", "MAX_TOKENS", "max_output_tokens"])
def test_vendors_words_for_a_cut_are_known(word):
    cut = table([row("cut", finish_chosen=word, finish_rejected="stop"), row("whole", finish_chosen="end_turn")])
    assert run({"use": "truncated"}, cut).reasons == {"cut": "chosen_cut", "whole": None}
