"""LLaMA-Factory shares `cutoff_len` out between the prompt and the longer reply, and cuts either; it drops no pair."""

import re
from typing import NamedTuple

from factory.exports.check.trainers.base import Cells, Prepared, Tokenizer, Trainer, rendered

_CONTENT = "{{content}}"
_PAST_THOUGHT = re.compile(r"<think>\n.*?\n</think>\n\n", flags=re.DOTALL)
_THINK, _THOUGHT = ("<think>", "</think>"), "<think>\n\n</think>\n\n"


class _Slots(NamedTuple):
    """A tokenizer's chat template taken apart, as LLaMA-Factory does where no `--template` is named."""

    prefix: str
    system: str
    user: str
    assistant: str
    default_system: str
    thinks: bool


def _prepare(cells: Cells, tokenizer: Tokenizer, longest: int) -> Prepared:
    slots, (system, turns) = _taken_apart(tokenizer), _turns(cells)
    prompt, chosen, rejected = (
        _encoded(slots, tokenizer, system or slots.default_system, turns, reply) for reply in (None, *_replies(cells))
    )
    source, target = _room(len(prompt), max(len(chosen), len(rejected)), longest)
    cut = source < len(prompt) or target < max(len(chosen), len(rejected))
    return Prepared(prompt[:source] + chosen[:target], prompt[:source] + rejected[:target], cut)


def _turns(cells: Cells) -> tuple[str, list[str]]:
    """The system message, and what user and assistant said in turn up to the reply."""
    if "conversations" in cells:
        told = [(turn["from"], turn["value"]) for turn in cells["conversations"]]
        led = told[0][0] == "system"
        return (told[0][1] if led else ""), [text for _, text in told[led:]]
    said = [text for pair in cells.get("history") or [] for text in pair]
    return cells.get("system") or "", [*said, cells["instruction"]]


def _replies(cells: Cells) -> tuple[str, str]:
    chosen, rejected = (cells[side] for side in ("chosen", "rejected"))
    return (chosen, rejected) if isinstance(chosen, str) else (chosen["value"], rejected["value"])


def _taken_apart(tokenizer: Tokenizer) -> _Slots:
    prefix = tokenizer.decode(tokenizer.encode(""))
    asked = [{"role": "user", "content": _CONTENT}]
    system = rendered(tokenizer, [{"role": "system", "content": _CONTENT}])[len(prefix) :]
    # An empty system message against none: where the template is longer without one, it has a default of its own.
    bare = rendered(tokenizer, [{"role": "system", "content": ""}, *asked], to_reply=True)[len(prefix) :]
    user = rendered(tokenizer, asked, to_reply=True)[len(prefix) :]
    told = rendered(tokenizer, [*asked, {"role": "assistant", "content": _CONTENT}])[len(prefix) + len(user) :]
    default = _beyond(bare, user) if len(user) > len(bare) else ""
    if default:
        user = user[len(system.replace(_CONTENT, default, 1)) :]
    assistant = told.replace(_THINK[0], "").replace(_THINK[1], "").lstrip("\n")
    return _Slots(prefix, system, user, assistant, default, _THINK[0] in told)


def _beyond(short: str, long: str) -> str:
    """What `long` has more than `short`, letter by letter."""
    at, more = 0, []
    for letter in long:
        if at == len(short):
            break
        if short[at] == letter:
            at += 1
        else:
            more.append(letter)
    return "".join(more)


def _encoded(slots: _Slots, tokenizer: Tokenizer, system: str, turns: list[str], reply: str | None) -> list[int]:
    """The prompt where `reply` is None, else that reply; each piece of the template is tokenised by itself."""
    if reply is not None:
        thought = slots.thinks and not any(word in reply for word in _THINK)
        return _ids(tokenizer, *([_THOUGHT] if thought else []), _filled(slots.assistant, reply))
    ids = []
    for place, text in enumerate(turns):
        first = [slots.prefix, *([_filled(slots.system, system)] if system else [])] if place == 0 else []
        if place % 2:
            past = _PAST_THOUGHT.sub("", text).lstrip("\n") if slots.thinks else text
            ids += _ids(tokenizer, _filled(slots.assistant, past))
        else:
            asked = _filled(slots.user, text).replace("{{idx}}", str(place // 2), 1)
            ids += _ids(tokenizer, *first, asked)
    return ids


def _filled(slot: str, text: str) -> str:
    return slot.replace(_CONTENT, text, 1)


def _ids(tokenizer: Tokenizer, *pieces: str) -> list[int]:
    return [token for piece in pieces if piece for token in tokenizer.encode(piece, add_special_tokens=False)]


def _room(source: int, target: int, longest: int) -> tuple[int, int]:
    """Tokens left to a prompt of `source` and a reply of `target`: the shorter half gives way last."""
    if target * 2 < longest:
        most = longest
    elif source * 2 < longest:
        most = longest - source
    else:
        # In this order of operations, whose rounding decides a token.
        most = int(longest * (target / (source + target)))
    kept = min(most, target)
    return min(max(longest - kept, 0), source), kept


PAIRWISE = Trainer("LLaMA-Factory rm and dpo", "LLaMA-Factory 0.9.6.dev0, no --template", ("llamafactory",), _prepare)
