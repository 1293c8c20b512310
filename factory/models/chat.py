"""Conversations as token ids: the model's chat template, with contents that can never pass for its control tokens."""

from collections.abc import Iterable, Mapping

from jinja2 import TemplateError
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from factory.errors import EngineError
from factory.identity import Messages, digest


def prompt_ids(tokenizer: PreTrainedTokenizerBase, messages: Messages, fold_system: bool = False) -> list[int]:
    """Token ids of a conversation up to and with the generation prompt.

    Equal to the chat template's own tokens, except that a special-token string inside a content is spelled out as plain
    text. Raises EngineError when the template refuses the conversation.
    """
    return _conversation(tokenizer, messages, fold_system, generate=True)


def conversation_ids(tokenizer: PreTrainedTokenizerBase, messages: Messages, fold_system: bool = False) -> list[int]:
    """Token ids of a whole conversation, its last reply included, as a reward model reads it.

    Equal to the chat template's own tokens, with the exception and the error of `prompt_ids`.
    """
    return _conversation(tokenizer, messages, fold_system, generate=False)


def reply_ids(tokenizer: PreTrainedTokenizerBase, text: str, finished: bool) -> list[int]:
    """Token ids of a reply as the model would have written it; `finished` adds the end-of-turn token."""
    ids = _tokens(tokenizer, text, plain=True)
    return [*ids, end_of_turn(tokenizer)] if finished else ids


def end_of_turn(tokenizer: PreTrainedTokenizerBase) -> int:
    """The token the chat template puts after an assistant's reply, else the end-of-text token."""
    marker = "reply-goes-here"
    turns = [{"role": "user", "content": "question"}, {"role": "assistant", "content": marker}]
    tail = _render(tokenizer, turns, generate=False).rpartition(marker)[2]
    special = _special(tokenizer)
    for token in _tokens(tokenizer, tail):
        if token in special:
            return token
    if tokenizer.eos_token_id is None:
        raise EngineError(f"the tokenizer of {tokenizer.name_or_path} names no end-of-turn and no end-of-text token")
    return int(tokenizer.eos_token_id)


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
    tokenizer: PreTrainedTokenizerBase, messages: Messages, fold_system: bool, *, generate: bool
) -> list[int]:
    turns = folded(messages) if fold_system else [dict(turn) for turn in messages]
    masks = _masks(tokenizer, turns)
    text = _render(tokenizer, [_masked(turn, masks) for turn in turns], generate=generate)
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
