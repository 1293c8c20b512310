import pytest

from tests.filters.table import row, run, table

REFUSALS = [
    "I'm sorry, but I can't help with that.",
    "I’m sorry, I cannot assist with that request.",
    "Sorry, I can't do that.",
    "**I cannot provide instructions for this.**",
    "I can't help with that.",
    "As an AI language model, I don't have opinions.",
    "As an AI, I cannot know that.",
    "Unfortunately, I am unable to help you here.",
    "I'm not able to write that.",
    "My apologies, but I won't do this.",
    "I must respectfully decline.",
    "I do not feel comfortable with this.",
    "We are very sorry, but we are unable to answer.",
]
ANSWERS = [
    "I can help with that.",
    "Sorry to hear that! You can ask for a refund.",
    "I cannot wait to tell you about Rome.",
    "I'm afraid of spiders too.",
    "As an AI researcher I do work on that.",
    "You can't do that in Python, but here is another way.",
    "I'm sorry for your loss. Here is a short speech.",
    "I can't stress enough how good this is.",
    "Paris." + " It is a city." * 30 + " I cannot help with that.",
]


@pytest.mark.parametrize("text", REFUSALS)
def test_refusals_are_known(text):
    found = run({"use": "refusal"}, table([row("chosen", chosen=text), row("rejected", rejected=text)]))
    assert found.reasons == {"chosen": "chosen_refusal", "rejected": "rejected_refusal"}


@pytest.mark.parametrize("text", ANSWERS)
def test_answers_are_none(text):
    assert run({"use": "refusal"}, table([row("x", chosen=text, rejected=text)])).reasons == {"x": None}


def test_options():
    refusal = REFUSALS[0]
    pairs = table([row("both", chosen=refusal, rejected=refusal), row("own", rejected="Nope, never.")])
    assert run({"use": "refusal"}, pairs).reasons == {"both": "both_refusal", "own": None}
    asked = {"use": "refusal", "replies": ["rejected"], "patterns": ["nope,"]}
    assert run(asked, pairs).reasons == {"both": "rejected_refusal", "own": "rejected_refusal"}
