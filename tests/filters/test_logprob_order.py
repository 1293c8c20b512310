import math

from tests.filters.table import row, run, table


def scored(tag, chosen, rejected):
    """Log-probabilities under (good, plain, bad)."""
    logps = {
        f"logp_{reply}_{view}": value
        for reply, values in (("chosen", chosen), ("rejected", rejected))
        for view, value in zip(("good", "plain", "bad"), values, strict=True)
    }
    return row(tag, **logps)


RIGHT, MIRRORED = (-0.5, -0.7, -0.9), (-0.9, -0.7, -0.5)
PAIRS = table(
    [
        scored("fine", RIGHT, MIRRORED),
        scored("chosen wrong", MIRRORED, MIRRORED),
        scored("rejected wrong", RIGHT, RIGHT),
        scored("both wrong", MIRRORED, RIGHT),
        scored("a tie is no order", (-0.5, -0.5, -0.9), MIRRORED),
        scored("nor is one below", (-0.5, -0.9, -0.9), MIRRORED),
        scored("plain outside", (-0.5, -0.4, -0.9), MIRRORED),
        scored("unscored", (-0.5, None, -0.9), MIRRORED),
        scored("not a number", (math.nan, -0.7, -0.9), MIRRORED),
        scored("unscored and wrong", (-0.5, None, -0.9), RIGHT),
    ]
)


def test_replies_out_of_order_are_dropped_and_unscored_ones_too():
    assert run({"use": "logprob_order"}, PAIRS).reasons == {
        "fine": None,
        "chosen wrong": "chosen_order",
        "rejected wrong": "rejected_order",
        "both wrong": "both_order",
        "a tie is no order": "chosen_order",
        "nor is one below": "chosen_order",
        "plain outside": "chosen_order",
        "unscored": "unscored",
        "not a number": "unscored",
        "unscored and wrong": "unscored",
    }


def test_unscored_pairs_can_be_kept_unless_what_is_known_is_wrong():
    reasons = run({"use": "logprob_order", "keep_unscored": True}, PAIRS).reasons
    assert (reasons["unscored"], reasons["unscored and wrong"]) == (None, "rejected_order")


def test_the_order_of_one_reply_alone_can_be_asked_for():
    reasons = run({"use": "logprob_order", "replies": ["rejected"]}, PAIRS).reasons
    assert {tag for tag, reason in reasons.items() if reason} == {"rejected wrong", "both wrong", "unscored and wrong"}


def test_pairs_without_scores_are_unscored_not_ordered():
    bare = PAIRS.select("pair_id", "prompt_id", "prompt", "chosen", "rejected", "tag")
    assert set(run({"use": "logprob_order"}, bare).reasons.values()) == {"unscored"}
