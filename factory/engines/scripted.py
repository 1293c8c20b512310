"""Answers without a model: read from a script, or made up from the request's own hash. For tests and dry runs."""

import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any

from factory.config.engines import ScriptedEngine
from factory.engines.base import Completion, Request, Score, ScoreRequest
from factory.errors import EngineError, InputError
from factory.identity import Messages, digest, draw
from factory.models.ref import ModelRef

OPENINGS = {
    "plain": ("In short,", "As a rule,", "Broadly speaking,"),
    "good": ("Gladly, and with care:", "Here is the whole picture:", "Step by step, then:"),
    "bad": ("Well, whatever,", "Hard to say, but", "It hardly matters, yet"),
}
"""How a made-up reply begins under each view. They share no member, so replies of different views are never equal."""

_SUBJECTS = [
    "the first point",
    "a simple example",
    "the usual method",
    "every careful reader",
    "the main reason",
    "one small detail",
]
_VERBS = ["shows", "changes", "explains", "supports", "weakens", "replaces", "illustrates", "settles"]
_OBJECTS = [
    "the common view",
    "what people expect",
    "the whole question",
    "an older idea",
    "the next step",
    "that result",
]
_TAILS = [
    "in practice",
    "for most people",
    "over time",
    "with some effort",
    "in the end",
    "on closer look",
    "more or less",
]
_EXTRA_SENTENCES = {"plain": (0, 2), "good": (-1, 3), "bad": (-2, 3)}
"""Range added to a prompt's own reply length: good replies are longer than bad ones often, not always."""


class ScriptedModel:
    """Generator and scorer without a model. The same request always gets the same made-up answer."""

    def __init__(self, block: ScriptedEngine, model: ModelRef) -> None:
        """Read the script, if there is one. Raises InputError naming the line that is no answer."""
        self._delay, self._path = block.delay, block.script
        self._script = None if block.script is None else iter(read_script(Path(block.script)))
        self._model = model
        self._given = 0

    @property
    def identity(self) -> str:
        """The model's name or fingerprint, marked as scripted."""
        return f"scripted:{self._model.identity}"

    @property
    def context_length(self) -> int:
        """Words, since a word counts as a token here."""
        return 8192

    def count_tokens(self, conversations: Sequence[Messages]) -> list[int]:
        """Words of each conversation."""
        return [_words(messages) for messages in conversations]

    def generate(self, requests: Sequence[Request]) -> Iterator[Completion]:
        """Answers in the order asked. Raises EngineError when the script has run out."""
        for request in requests:
            if self._delay:
                time.sleep(self._delay)
            yield self._made_up(request) if self._script is None else self._scripted(request)

    def score(self, requests: Sequence[ScoreRequest]) -> Iterator[Score]:
        """Made-up log-probabilities: a made-up reply is likelier under the view it was made for."""
        for request in requests:
            if self._delay:
                time.sleep(self._delay)
            logps = tuple(self._logp(request, reply.text, reply.finished) for reply in request.replies)
            tokens = tuple(len(reply.text.split()) + reply.finished for reply in request.replies)
            yield Score(request.id, logps, tokens)

    def close(self) -> None:
        """Nothing is held."""

    def _scripted(self, request: Request) -> Completion:
        assert self._script is not None
        answer = next(self._script, None)
        if answer is None:
            raise EngineError(f"the script {self._path} has run out after {self._given} answers; add lines to it")
        self._given += 1
        return _completion(request, **answer)

    def _made_up(self, request: Request) -> Completion:
        # By all that decides an answer and not by the id, so that a cache and a resumed run find the same.
        random = Random(int(request.content_key(self.identity), 16))
        stage = request.tags.get("stage", "reply")
        if stage == "judge" or request.choices:
            return _verdict(request, random)
        return _completion(request, MADE_UP.get(stage, _reply)(request, random))

    def _logp(self, request: ScoreRequest, text: str, finished: bool) -> float:
        turns = [[turn["role"], turn["content"]] for turn in request.messages]
        spread = draw(self.identity, turns, text, finished) / 2**63
        views = request.id.split("/")
        at_home = any(view in views and text.startswith(OPENINGS[view]) for view in ("good", "bad"))
        return -1.3 - 0.6 * spread + (0.5 if at_home else 0.0)


def read_script(path: Path) -> list[dict[str, Any]]:
    """The answers of a script: objects with `text` or `error`, and optionally `finish` and `choice_logprobs`."""
    try:
        lines = path.read_text("utf-8").splitlines()
    except OSError as error:
        raise InputError(f"the script {path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"the script {path} is not UTF-8 text (byte {error.start}); save it as UTF-8") from error
    answers: list[dict[str, Any]] = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            answer = json.loads(line)
        except ValueError as error:
            raise InputError(f"{path} line {number} is not JSON: {error}") from error
        if not _is_answer(answer):
            raise InputError(f'{path} line {number}: an answer is {{"text": …}} or {{"error": …}}')
        answers.append(answer)
    return answers


def _is_answer(answer: object) -> bool:
    if not isinstance(answer, dict) or not {"text", "error"} & answer.keys():
        return False
    likely = answer.get("choice_logprobs") or {}
    texts = all(isinstance(answer.get(name), str | None) for name in ("text", "error", "finish"))
    numbers = isinstance(likely, dict) and all(isinstance(value, int | float) for value in likely.values())
    return texts and numbers and answer.keys() <= {"text", "error", "finish", "choice_logprobs"}


def _completion(
    request: Request,
    text: str | None = None,
    finish: str | None = None,
    choice_logprobs: dict[str, float] | None = None,
    error: str | None = None,
) -> Completion:
    """A completion with words for tokens, cut at the request's limit."""
    prompt_tokens = _words(request.messages)
    if error is not None or text is None:
        return Completion(request.id, None, prompt_tokens=prompt_tokens, error=error or "the script gives no text")
    words = text.split()
    if len(words) > request.max_new_tokens:
        text, finish = " ".join(words[: request.max_new_tokens]), finish or "length"
    count = min(len(words), request.max_new_tokens)
    return Completion(request.id, text, finish or "stop", prompt_tokens, count, choice_logprobs=choice_logprobs)


def _words(messages: Messages) -> int:
    return sum(len(turn["content"].split()) for turn in messages)


def _features(request: Request, random: Random) -> str:
    """Two of the names on offer; one answer in ten cannot be read."""
    options = [name for name in request.tags.get("options", "").split("|") if name]
    if len(options) < 2 or random.random() < 0.1:
        return "It depends on what one is after."
    return ", ".join(random.sample(options, 2))


def _principle(request: Request, random: Random) -> str:
    """A good and a bad principle, one line each."""
    feature = request.tags.get("feature", "quality").lower()
    aim, flaw = random.choice(_OBJECTS), random.choice(_SUBJECTS)
    return (
        f"Good: Put {feature} first in every sentence you write, and show clearly how it bears on {aim}, "
        "so that the reader is served well from beginning to end.\n"
        f"Bad: Pay no heed to {feature} anywhere in what you write, and dwell on {flaw} instead, "
        "so that the reader is served poorly from beginning to end."
    )


def _sentence(random: Random) -> str:
    return " ".join(random.choice(words) for words in (_SUBJECTS, _VERBS, _OBJECTS, _TAILS))


def _reply(request: Request, random: Random) -> str:
    """Sentences about the prompt; how it begins and how long it is depend on the view."""
    view = request.tags.get("view", "plain")
    openings, extra = OPENINGS.get(view, OPENINGS["plain"]), _EXTRA_SENTENCES.get(view, (0, 2))
    last = request.messages[-1]["content"] if request.messages else ""
    topic = " ".join(last.split()[:6]).strip("?!.,;:") or "the question"
    # The length is the prompt's own, so that replies to one prompt are alike in length as a model's are.
    own_length = 3 + draw(request.tags.get("prompt_id") or digest(last)) % 3
    count = max(1, own_length + random.randint(*extra))
    sentences = [f'{random.choice(openings)} about "{topic}", {_sentence(random)}.']
    sentences += [f"{_sentence(random).capitalize()}." for _ in range(count - 1)]
    return " ".join(sentences)


def _verdict(request: Request, random: Random) -> Completion:
    """A vote: four pairs in five for chosen, some for rejected, some for whatever is shown first."""
    first, second = _identifiers(request)
    coin = draw("verdict", request.tags.get("pair_id") or request.id) / 2**63
    chosen = second if request.tags.get("order") == "rejected_first" else first
    rejected = first if chosen == second else second
    vote = chosen if coin < 0.8 else rejected if coin < 0.9 else first
    if not request.choices:
        return _completion(request, vote)
    sure = 0.6 + 0.35 * random.random()
    other = second if vote == first else first
    return _completion(request, vote, choice_logprobs={vote: math.log(sure), other: math.log(1 - sure)})


def _identifiers(request: Request) -> tuple[str, str]:
    """The identifiers in the order shown."""
    names = request.choices[:2] if len(request.choices) >= 2 else ("m", "M")
    first = request.tags.get("first", names[0])
    return (first, names[1] if first == names[0] else names[0])


MADE_UP: dict[str, Callable[[Request, Random], str]] = {
    "features": _features,
    "principle": _principle,
    "reply": _reply,
}
"""What is made up for each stage; any other is answered like a reply."""
