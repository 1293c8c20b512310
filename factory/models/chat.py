"""Conversations as token ids: the model's chat template, with contents that can never pass for its control tokens."""

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import NamedTuple

from jinja2 import TemplateError
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from factory.errors import EngineError
from factory.identity import Messages
from factory.models.plain import (
    controls_of,
    marked,
    masked,
    masks_of,
    pieces_of,
    special_tokens,
    spelled,
    tokens_of,
    whole_masks,
)
from principles.views import folded

# Between characters for private use, which no template looks for and hardly a text holds.
_REPLY = "\ue000reply\ue001"
"""Stands for a reply where a template is looked at."""


def prompt_ids(tokenizer: PreTrainedTokenizerBase, messages: Messages, fold_system: bool = False) -> list[int]:
    """Token ids of a conversation up to where a reply begins: what it is sampled, scored and trained after.

    Equal to the chat template's own tokens, generation prompt included, except that what would become a control token
    inside a content, as it stands or once the tokenizer has normalised it, is spelled out as plain text. Where the
    template writes finished replies behind something else than its generation prompt (a channel, an opened thought, a
    line end), it is what it writes before them. Raises EngineError when the template refuses the conversation.
    """
    turns = folded(messages) if fold_system else [dict(turn) for turn in messages]
    if frame_of(tokenizer).plain:
        return _conversation(tokenizer, turns, generate=True)
    return _conversation(tokenizer, [*turns, {"role": "assistant", "content": _REPLY}], generate=False, until=_REPLY)


def conversation_ids(tokenizer: PreTrainedTokenizerBase, messages: Messages, fold_system: bool = False) -> list[int]:
    """Token ids of a whole conversation, its last reply included, as a reward model reads it.

    Equal to the chat template's own tokens, with the exception and the error of `prompt_ids`.
    """
    turns = folded(messages) if fold_system else [dict(turn) for turn in messages]
    return _conversation(tokenizer, turns, generate=False)


def reply_ids(tokenizer: PreTrainedTokenizerBase, text: str, finished: bool) -> list[int]:
    """Token ids of a reply as the model would have written it; `finished` adds what the template ends it with."""
    ids = spelled(tokenizer, text)
    if not finished:
        return ids
    frame = frame_of(tokenizer)
    between = "" if text.endswith(frame.between) else frame.between
    return [*ids, *tokens_of(tokenizer, between), frame.end]


def as_written(tokenizer: PreTrainedTokenizerBase, text: str) -> str:
    """A reply as the chat template writes it at the end of a conversation: without reasoning that it strips.

    The very `text` where nothing but space at its ends is missing. Of a reply whose reasoning a template moves to
    another place, before what all replies stand behind, it is what follows the last tag.
    """
    part = template_part(tokenizer, text)
    if part is not None:
        return part
    tags = _tags(tokenizer.get_chat_template())
    return text[max(text.rfind(tag) + len(tag) for tag in tags if tag in text) :].lstrip("\n")


def template_part(tokenizer: PreTrainedTokenizerBase, text: str) -> str | None:
    """What a template leaves of a reply, `text` itself where it is whole; None where it moves some of it elsewhere."""
    if not any(tag in text for tag in _tags(tokenizer.get_chat_template())):
        return text
    before, after = _render(tokenizer, _asked(_REPLY), generate=False).split(_REPLY)
    turns = _asked(text)
    masks = masks_of(tokenizer, turns)
    whole = _render(tokenizer, [masked(turn, masks) for turn in turns], generate=False)
    part = whole[len(before) : len(whole) - len(after)]
    if whole != before + part + after:
        return None
    for marker, token in masks.items():
        part = part.replace(marker, token)
    return text if part.strip() == text.strip() else part


class Frame(NamedTuple):
    """How a chat template puts an assistant's reply."""

    plain: bool
    """A finished reply stands behind the generation prompt, spaces aside."""
    between: str
    """Text between a reply and its end, such as a line end."""
    end: int
    """The token that ends it."""


def frame_of(tokenizer: PreTrainedTokenizerBase) -> Frame:
    """Found by trying a short conversation. Raises EngineError where the template writes no reply, or knows no end."""
    return _frame(tokenizer, tokenizer.get_chat_template())


# By the template too: a tokenizer is hashed by what it is, not by what it holds, and may be given another one.
@lru_cache(maxsize=8)
def _frame(tokenizer: PreTrainedTokenizerBase, template: str) -> Frame:
    prompt = _render(tokenizer, _asked(), generate=True)
    whole = _render(tokenizer, _asked(_REPLY), generate=False)
    if whole.count(_REPLY) != 1:
        raise EngineError(
            f"the chat template of {tokenizer.name_or_path} does not write an assistant's reply as it is; "
            "give the model one that does"
        )
    before, after = whole.split(_REPLY)
    plain = before.startswith(prompt) and not before.removeprefix(prompt).strip(" ")
    end = _first_special(tokenizer, after)
    if end is None:
        # No end of its own: then what comes next in a longer conversation is the end.
        longer = _render(tokenizer, [*_asked(_REPLY), *_asked()], generate=False)
        end = _first_special(tokenizer, longer.rpartition(_REPLY)[2])
        # A text may be begun anew with each turn; what begins one does not end the last.
        end = None if end is not None and end.id == tokenizer.bos_token_id else end
    if end is None and tokenizer.eos_token_id is None:
        raise EngineError(f"the tokenizer of {tokenizer.name_or_path} names no end-of-turn and no end-of-text token")
    if end is None:
        return Frame(plain, "", int(tokenizer.eos_token_id))
    return Frame(plain, end.before.strip(" "), end.id)


class _Special(NamedTuple):
    before: str
    id: int


def _first_special(tokenizer: PreTrainedTokenizerBase, text: str) -> _Special | None:
    """The first control token of `text`, and the text before it."""
    special, ids = special_tokens(tokenizer), tokens_of(tokenizer, text)
    for place, token in enumerate(ids):
        if token in special:
            return _Special(str(tokenizer.decode(ids[:place])), token)
    return None


@lru_cache(maxsize=8)
def _tags(template: str) -> tuple[str, ...]:
    """What a template may look for inside a reply: tags such as </think> and [/THINK] that stand in its text."""
    return tuple(sorted(set(re.findall(r"</?\w+>|<\|[\w/]+\|>|\[/?[A-Z_]{2,}\]", template))))


def _asked(reply: str | None = None) -> list[dict[str, str]]:
    """A question, and the reply to it."""
    turns = [{"role": "user", "content": "question"}]
    return turns if reply is None else [*turns, {"role": "assistant", "content": reply}]


def end_ids(tokenizer: PreTrainedTokenizerBase, model: PreTrainedModel | None = None) -> frozenset[int]:
    """Every token that ends a reply: the template's, the tokenizer's, and those of the model's generation config."""
    found = {frame_of(tokenizer).end, tokenizer.eos_token_id}
    if model is not None:
        configured = getattr(model.generation_config, "eos_token_id", None)
        found.update(configured if isinstance(configured, Iterable) else [configured])
    return frozenset(int(token) for token in found if token is not None)


def knows_system(tokenizer: PreTrainedTokenizerBase) -> bool:
    """Whether the chat template renders a system message rather than refusing or dropping it."""
    marker = "system-goes-here"
    try:
        turns = [{"role": "system", "content": marker}, {"role": "user", "content": "question"}]
        return marker in _render(tokenizer, turns, generate=True)
    except EngineError:
        return False


def _conversation(
    tokenizer: PreTrainedTokenizerBase, turns: list[dict[str, str]], *, generate: bool, until: str | None = None
) -> list[int]:
    """Ids of the conversation, special-token strings masked.

    Where more control tokens come of it than the template writes, as a normaliser can make them, each content is
    encoded apart, so that none does.
    """
    masks = masks_of(tokenizer, turns)
    ids = _encoded(tokenizer, [masked(turn, masks) for turn in turns], masks, generate=generate, until=until)
    controls = controls_of(tokenizer, len(tokenizer))
    # Whether a content is empty is part of it, as templates leave out empty ones.
    shape = tuple((turn["role"], bool(turn["content"].strip())) for turn in turns)
    bare = _bare(tokenizer, tokenizer.get_chat_template(), shape, generate, until is not None)
    if tuple(token for token in ids if token in controls) == bare:
        return ids
    whole = whole_masks(turns)
    apart = [marked(turn, marker, keep=_REPLY) for turn, marker in zip(turns, whole, strict=True)]
    return _encoded(tokenizer, apart, whole, generate=generate, until=until)


def _encoded(
    tokenizer: PreTrainedTokenizerBase,
    turns: list[dict[str, str]],
    masks: Mapping[str, str],
    *,
    generate: bool,
    until: str | None,
) -> list[int]:
    """Ids of what the template writes of masked turns, up to `until`; what is masked is spelled out."""
    text = _render(tokenizer, turns, generate=generate)
    if until is not None:
        # A space before a reply is part of its first word to most tokenizers, and by itself another token.
        text = text.rpartition(until)[0].rstrip(" ")
    if not masks:
        return tokens_of(tokenizer, text)
    ids: list[int] = []
    for piece, special in pieces_of(text, masks):
        ids += spelled(tokenizer, special) if special else tokens_of(tokenizer, piece)
    return ids


@lru_cache(maxsize=256)
def _bare(
    tokenizer: PreTrainedTokenizerBase, template: str, shape: tuple[tuple[str, bool], ...], generate: bool, cut: bool
) -> tuple[int, ...]:
    """The control tokens that the template itself writes around turns of these roles, empty or not."""
    turns = [{"role": role, "content": "x" if filled else ""} for role, filled in shape]
    if cut:
        turns[-1]["content"] = _REPLY
    ids = _encoded(tokenizer, turns, {}, generate=generate, until=_REPLY if cut else None)
    controls = controls_of(tokenizer, len(tokenizer))
    return tuple(token for token in ids if token in controls)


def _render(tokenizer: PreTrainedTokenizerBase, turns: list[dict[str, str]], generate: bool) -> str:
    try:
        # Templates that can think aloud are told not to: the reply is the answer alone. Others ignore the switch.
        return str(
            tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=generate, enable_thinking=False)
        )
    except (TemplateError, TypeError, ValueError) as error:
        raise EngineError(f"the chat template of {tokenizer.name_or_path} refuses the conversation: {error}") from error
