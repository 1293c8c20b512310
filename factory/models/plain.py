"""Text as token ids in which it stays text: special-token strings are masked, or spelled out."""

from collections.abc import Mapping
from functools import lru_cache

from transformers import PreTrainedTokenizerBase

from factory.identity import digest


def tokens_of(tokenizer: PreTrainedTokenizerBase, text: str, plain: bool = False) -> list[int]:
    """Ids of `text` with nothing added; `plain` reads special-token strings as text, as far as the tokenizer can."""
    if not text:
        return []
    # The template has written the token that begins a text. `verbose` would warn of texts beyond the model's context.
    return list(tokenizer(text, add_special_tokens=False, split_special_tokens=plain, verbose=False)["input_ids"])


def special_tokens(tokenizer: PreTrainedTokenizerBase) -> dict[int, str]:
    """Id and text of every control token, the unnamed ones included."""
    named = zip(tokenizer.all_special_ids, tokenizer.all_special_tokens, strict=True)
    added = ((i, token.content) for i, token in tokenizer.added_tokens_decoder.items() if token.special)
    return dict([*named, *added])


def masks_of(tokenizer: PreTrainedTokenizerBase, turns: list[dict[str, str]]) -> dict[str, str]:
    """A marker for each special-token string that occurs in a content; longest first, markers occur nowhere."""
    known = filter(None, special_tokens(tokenizer).values())
    found = {token for token in known if any(token in turn["content"] for turn in turns)}
    base = digest([turn["content"] for turn in turns])
    # One special token may stand inside another.
    ordered = sorted(found, key=lambda token: (-len(token), token))
    return {f"\ue000{base}-{i}\ue001": token for i, token in enumerate(ordered)}


def masked(turn: Mapping[str, str], masks: Mapping[str, str]) -> dict[str, str]:
    """The turn with the markers in place of what they stand for."""
    content = turn["content"]
    for marker, token in masks.items():
        content = content.replace(token, marker)
    return {**turn, "content": content}


def pieces_of(text: str, masks: Mapping[str, str]) -> list[tuple[str, str | None]]:
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


def spelled(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    """Ids of `text` without a control token: where one still comes of it, it is cut until none does."""
    ids, controls = tokens_of(tokenizer, text, plain=True), controls_of(tokenizer, len(tokenizer))
    if len(text) < 2 or controls.isdisjoint(ids):
        return ids
    # A control token is made of letters that stand together, so that some cut parts it.
    middle = len(text) // 2
    return spelled(tokenizer, text[:middle]) + spelled(tokenizer, text[middle:])


@lru_cache(maxsize=8)
def controls_of(tokenizer: PreTrainedTokenizerBase, size: int) -> frozenset[int]:
    """Ids that no text may become; not that of unknown letters alone. `size`, of the tokenizer, is only the cache's."""
    # Some tokenizers begin, end or pad with the token of unknown letters, and then it is one.
    unknown = {tokenizer.unk_token_id} - {tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id}
    return frozenset(special_tokens(tokenizer).keys() - unknown)


def whole_masks(turns: list[dict[str, str]]) -> dict[str, str]:
    """A marker for each turn's content without the space at its ends, which templates may trim."""
    base = digest([turn["content"] for turn in turns])
    return {f"\ue000{base}-turn-{i}\ue001": turn["content"].strip() for i, turn in enumerate(turns)}


def marked(turn: Mapping[str, str], marker: str, keep: str) -> dict[str, str]:
    """The turn with a marker for all of its content that is no space at its ends, unless that is `keep`."""
    content = turn["content"]
    core = content.strip()
    return dict(turn) if core in ("", keep) else {**turn, "content": content.replace(core, marker, 1)}
