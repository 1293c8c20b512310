"""Answers of a policy to given questions, turn by turn: what evaluation tools compare."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from factory.config import Sampling
from factory.engines.base import Generator, Request
from factory.identity import draw


@dataclass(frozen=True)
class EvalQuestion:
    """A question of one or more turns; the policy answers each turn before it is given the next."""

    id: str
    turns: tuple[str, ...]
    temperature: float | None = None
    """null: that of the sampling block."""
    meta: dict[str, str] = field(default_factory=dict, compare=False)
    """What the tool wants back, such as the name of a dataset or a category."""
    before: tuple[Mapping[str, str], ...] = field(default=(), compare=False)
    """The messages before the first turn."""
    text: str | None = None
    """All that is asked as one text, for a tool that knows no earlier messages; null: the first turn."""

    @property
    def first(self) -> str:
        """What a tool is told was asked first."""
        return self.text or self.turns[0]


@dataclass(frozen=True)
class Answer:
    """The replies to a question, one per turn, or why there are none."""

    question: EvalQuestion
    replies: tuple[str, ...]
    error: str | None = None


def answer(questions: Sequence[EvalQuestion], generator: Generator, sampling: Sampling, seed: int) -> list[Answer]:
    """Answer every question, in its order; all first turns go to the engine in one call, then all second ones."""
    replies: dict[str, list[str]] = {question.id: [] for question in questions}
    errors: dict[str, str] = {}
    for turn in range(max((len(question.turns) for question in questions), default=0)):
        # Who failed at a turn is not asked the next, which rests on it.
        open_ = [q for q in questions if len(q.turns) > turn and q.id not in errors]
        for completion in generator.generate([_request(q, replies[q.id], turn, sampling, seed) for q in open_]):
            # From the right: a tool's own ids of questions may hold slashes.
            question = completion.id.removeprefix("answer/").rsplit("/", 1)[0]
            if completion.text is None or completion.error:
                errors[question] = completion.error or "the engine gave no text"
            else:
                replies[question].append(completion.text)
    return [Answer(question, tuple(replies[question.id]), errors.get(question.id)) for question in questions]


def _request(question: EvalQuestion, said: Sequence[str], turn: int, sampling: Sampling, seed: int) -> Request:
    messages = [*question.before, {"role": "user", "content": question.turns[0]}]
    for reply, asked in zip(said, question.turns[1 : turn + 1], strict=True):
        messages += [{"role": "assistant", "content": reply}, {"role": "user", "content": asked}]
    return Request(
        id=f"answer/{question.id}/{turn}",
        messages=messages,
        max_new_tokens=sampling.max_new_tokens,
        temperature=sampling.temperature if question.temperature is None else question.temperature,
        top_p=sampling.top_p,
        seed=draw(seed, "answer", question.id, turn),
        tags={"stage": "answer", "question": question.id, "turn": str(turn)},
    )
