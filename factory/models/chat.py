"""Conversations as token ids: the model's chat template, with contents that can never pass for its control tokens."""

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import NamedTuple

from jinja2 import TemplateError
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from factory.errors import EngineError
from factory.identity import Messages, digest

_REPLY = "\ue000reply\ue001"
"""Stands for a reply where a template is looked at."""


def prompt_ids(tokenizer: PreTrainedTokenizerBase, messages: Messages, fold_system: bool = False) -> list[int]:
    """Token ids of a conversation up to where a reply begins: what it is sampled, scored and trained after.

    Equal to the chat template's own tokens, generation prompt included, except that a special-token string inside a
    content is spelled out as plain text. Where the template writes finished replies behind something else than its
    generation prompt (a channel, an opened thought, a line end), it is what it writes before them. Raises EngineError
    when the template refuses the conversation.
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
    ids = _tokens(tokenizer, text, plain=True)
    if not finished:
        return ids
    frame = frame_of(tokenizer)
    between = "" if text.endswith(frame.between) else frame.between
    return [*ids, *_tokens(tokenizer, between), frame.end]


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
    masks = _masks(tokenizer, turns)
    whole = _render(tokenizer, [_masked(turn, masks) for turn in turns], generate=False)
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
    special, ids = _special(tokenizer), _tokens(tokenizer, text)
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


def end_of_turn(tokenizer: PreTrainedTokenizerBase) -> int:
    """The token the chat template puts after an assistant's reply, else the end-of-text token."""
    return frame_of(tokenizer).end


def end_ids(tokenizer: PreTrainedTokenizerBase, model: PreTrainedModel | None = None) -> frozenset[int]:
    """Every token that ends a reply: the template's, the tokenizer's, and those of the model's generation config."""
    found = {end_of_turn(tokenizer), tokenizer.eos_token_id}
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


def folded(messages: Messages) -> list[dict[str, str]]:
    """The conversation with its leading system messages moved to the head of the first user turn."""
    turns = [dict(turn) for turn in messages]
    count = next((i for i, turn in enumerate(turns) if turn["role"] != "system"), len(turns))
    system = "\n\n".join(turn["content"] for turn in turns[:count])
    rest = turns[count:]
    if not system:
        return rest
    if rest and rest[0]["role"] == "user":
        return [{**rest[0], "content": f"{system}\n\n{rest[0]['content']}"}, *rest[1:]]
    return [{"role": "user", "content": system}, *rest]


def _conversation(
    tokenizer: PreTrainedTokenizerBase, turns: list[dict[str, str]], *, generate: bool, until: str | None = None
) -> list[int]:
    masks = _masks(tokenizer, turns)
    text = _render(tokenizer, [_masked(turn, masks) for turn in turns], generate=generate)
    if until is not None:
        text = text.rpartition(until)[0].rstrip(" ")
    if not masks:
        return _tokens(tokenizer, text)
    ids: list[int] = []
    for piece, special in _pieces(text, masks):
        ids += _tokens(tokenizer, special, plain=True) if special else _tokens(tokenizer, piece)
    return ids


def _render(tokenizer: PreTrainedTokenizerBase, turns: list[dict[str, str]], generate: bool) -> str:
    try:
        # Templates that can think aloud are told not to: the reply is the answer alone. Others ignore the switch.
        return str(
            tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=generate, enable_thinking=False)
        )
    except (TemplateError, TypeError, ValueError) as error:
        raise EngineError(f"the chat template of {tokenizer.name_or_path} refuses the conversation: {error}") from error


def _tokens(tokenizer: PreTrainedTokenizerBase, text: str, plain: bool = False) -> list[int]:
    """Ids of `text` with nothing added; `plain` spells special-token strings out."""
    if not text:
        return []
    return list(tokenizer(text, add_special_tokens=False, split_special_tokens=plain, verbose=False)["input_ids"])


def _special(tokenizer: PreTrainedTokenizerBase) -> dict[int, str]:
    """Id and text of every control token, the unnamed ones included."""
    named = zip(tokenizer.all_special_ids, tokenizer.all_special_tokens, strict=True)
    added = ((i, token.content) for i, token in tokenizer.added_tokens_decoder.items() if token.special)
    return dict([*named, *added])


def _masks(tokenizer: PreTrainedTokenizerBase, turns: list[dict[str, str]]) -> dict[str, str]:
    """A marker for each special-token string that occurs in a content; longest first, markers occur nowhere."""
    found = {
        token for token in _special(tokenizer).values() if token and any(token in turn["content"] for turn in turns)
    }
    base = digest([turn["content"] for turn in turns])
    ordered = sorted(found, key=lambda token: (-len(token), token))
    return {f"\ue000{base}-{i}\ue001": token for i, token in enumerate(ordered)}


def _masked(turn: Mapping[str, str], masks: Mapping[str, str]) -> dict[str, str]:
    content = turn["content"]
    for marker, token in masks.items():
        content = content.replace(token, marker)
    return {**turn, "content": content}


def _pieces(text: str, masks: Mapping[str, str]) -> list[tuple[str, str | None]]:
    """The rendered text cut at its markers: (piece, None) as rendered, ("", token) where a marker stood."""
    pieces: list[tuple[str, str | None]] = [(text, None)]
    for marker, token in masks.items():
        cut: list[tuple[str, str | None]] = []
        for piece, special in pieces:
            parts = piece.split(marker)
            cut.append((parts[0], special))
            for part in parts[1:]:
                cut += [("", token), (part, None)]
        pieces = cut
    return pieces
