"""One person's way through a sample of pairs: which one is next, which side a reply is on, what is told afterwards."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from factory.identity import draw
from factory.reviewing.labels import Answers

KEYS = ("1", "2", "t", "s")
"""The left reply is better; the right one is; a tie; skip."""
UNDO = "u"


class StaleAnswerError(Exception):
    """An answer to a pair that is not the one being shown: a key pressed twice, or an old tab."""


class ReviewItem(NamedTuple):
    """A pair to be reviewed."""

    pair_id: str
    prompt: Sequence[Mapping[str, str]]
    chosen: str
    rejected: str
    told: Mapping[str, Any]
    """What is shown once the pair is answered: feature, principles, verdicts."""


class Sides(NamedTuple):
    """The two replies as they are shown."""

    left: str
    right: str
    left_is: str
    """chosen or rejected."""


class Session:
    """The items in order, with the person's answers. The next one is the first without an answer."""

    def __init__(self, items: Sequence[ReviewItem], answers: Answers, seed: int, blind: bool) -> None:
        self.items, self.answers, self.blind = items, answers, blind
        self._seed = seed

    @property
    def done(self) -> int:
        """How many of the items are answered; it also names the turn."""
        return sum(item.pair_id in self.answers.given for item in self.items)

    @property
    def current(self) -> ReviewItem | None:
        """The item to be answered; None at the end."""
        return next((item for item in self.items if item.pair_id not in self.answers.given), None)

    @property
    def last(self) -> ReviewItem | None:
        """The item answered last, which `undo` takes back."""
        known = {item.pair_id: item for item in self.items}
        return next((known[pair] for pair in reversed(self.answers.given) if pair in known), None)

    def sides(self, item: ReviewItem) -> Sides:
        """Which reply is on which side: a coin by seed, person and pair."""
        # A draw by pair, not a state: after a restart each pair is shown as it was.
        if draw(self._seed, "side", self.answers.annotator, item.pair_id) % 2:
            return Sides(item.chosen, item.rejected, "chosen")
        return Sides(item.rejected, item.chosen, "rejected")

    def answer(self, turn: int, key: str) -> None:
        """Take the answer to the current item, or back the last one. StaleAnswerError where another turn was meant."""
        item = self.current
        # The turn is how many are answered: an answer from an old tab names one that is past.
        if turn != self.done or (key != UNDO and (item is None or key not in KEYS)):
            raise StaleAnswerError
        if item is not None and key != UNDO:
            left = self.sides(item).left_is
            right = "rejected" if left == "chosen" else "chosen"
            self.answers.give(item.pair_id, dict(zip(KEYS, (left, right, "tie", "skip"), strict=True))[key])
        elif self.last is not None:
            self.answers.take_back(self.last.pair_id)
