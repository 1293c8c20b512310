"""Requests as token ids, for the engines that hold a tokenizer of their own."""

from collections.abc import Sequence
from typing import NamedTuple

from transformers import PreTrainedTokenizerBase

from factory.engines.base import Completion, Request, Score, ScoreRequest
from factory.errors import EngineError
from factory.identity import Messages
from factory.models.chat import as_written, knows_system, prompt_ids, reply_ids
from factory.models.load import load_tokenizer
from factory.models.ref import ModelRef


class Prompt(NamedTuple):
    """A request in tokens."""

    ids: list[int]
    room: int
    """Most tokens to generate."""
    choices: dict[str, int] | None
    """First token of each of the request's choices; None without choices, or where two begin with the same one."""


class Renderer:
    """The model's tokenizer and chat template, with the system message folded where the template needs it."""

    def __init__(self, model: ModelRef) -> None:
        """Load the tokenizer. Raises EngineError when there is no such model, or none with a chat template."""
        self.tokenizer: PreTrainedTokenizerBase = load_tokenizer(model)
        self._fold = model.fold_system or not knows_system(self.tokenizer)

    def count(self, messages: Messages) -> int:
        """Prompt length in tokens; of a conversation that the chat template refuses, the length of its contents."""
        try:
            return len(prompt_ids(self.tokenizer, messages, self._fold))
        except EngineError:
            return sum(len(reply_ids(self.tokenizer, turn["content"], True)) for turn in messages)

    def prompt(self, request: Request, context: int | None) -> Prompt | Completion:
        """The request in tokens, its room cut to the `context`; or its failure."""
        try:
            ids = prompt_ids(self.tokenizer, request.messages, self._fold)
        except EngineError as error:
            return Completion(request.id, None, error=str(error))
        room = request.max_new_tokens if context is None else min(request.max_new_tokens, context - len(ids))
        if room < 1:
            reason = f"the prompt has {len(ids)} tokens and the model's context only {context}"
            return Completion(request.id, None, prompt_tokens=len(ids), error=reason)
        return Prompt(ids, room, first_tokens(self.tokenizer, request.choices))

    def text(self, ids: Sequence[int]) -> str:
        """Generated tokens as text, without special ones."""
        return str(self.tokenizer.decode(list(ids), skip_special_tokens=True))

    def replies(self, request: ScoreRequest, context: int | None) -> tuple[list[int], tuple[list[int], ...]] | Score:
        """The prompt's tokens and those of each reply; or the request's failure."""
        try:
            prompt = prompt_ids(self.tokenizer, request.messages, self._fold)
        except EngineError as error:
            return unscored(request, str(error))
        # As the template would write it in a conversation, which is what training sees of it.
        texts = (as_written(self.tokenizer, reply.text) for reply in request.replies)
        replies = tuple(
            reply_ids(self.tokenizer, text, reply.finished) for text, reply in zip(texts, request.replies, strict=True)
        )
        longest = len(prompt) + max(map(len, replies), default=0)
        if context is not None and longest > context:
            return unscored(request, f"prompt and reply have {longest} tokens and the model's context only {context}")
        return prompt, replies


def first_tokens(tokenizer: PreTrainedTokenizerBase, choices: Sequence[str]) -> dict[str, int] | None:
    """The first token of each choice; None without choices, or where two begin with the same one."""
    tokens = {name: reply_ids(tokenizer, name, False)[:1] for name in choices}
    firsts = [ids[0] for ids in tokens.values() if ids]
    if not choices or len(set(firsts)) < len(tokens):
        return None
    return dict(zip(tokens, firsts, strict=True))


def unscored(request: ScoreRequest, error: str) -> Score:
    """The failure of a score request."""
    nothing = (None,) * len(request.replies)
    return Score(request.id, nothing, nothing, error)
