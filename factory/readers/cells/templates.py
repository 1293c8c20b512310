"""Texts that carry a chat template already: taken apart into turns where that is certain."""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from factory.readers.messages import PROBLEM, ROLES


class ChatMarkup(NamedTuple):
    """One way of writing turns into a text: a header before each, perhaps an end after it."""

    marker: str
    """What shows that a text is written so."""
    header: re.Pattern[str]
    """Matches a header; the group `role` is whose turn begins."""
    ends: tuple[str, ...] = ()
    lead: str | None = None
    """Whose turn a text before the first header is; None: there may be none."""
    opening: str = ""
    """How that text must begin, where the headers are words that any text may hold."""


_BEGIN = re.compile(
    r"^\s*(<s>|<\|begin_of_text\|>|<bos>|<\|endoftext\|>|\[gMASK\]<sop>|<｜begin▁of▁sentence｜>|<BOS_TOKEN>)?\s*"
)
_PREAMBLE = re.compile(r"^Below is an instruction that describes a task.*?(?=### Instruction:)", re.DOTALL)
_SYSTEM = re.compile(r"<<SYS>>(.*?)<</SYS>>\s*", re.DOTALL)
_CALLED: Mapping[str, str] = {
    **ROLES,
    "instruction": "user",
    "input": "input",
    "response": "assistant",
    "[inst]": "user",
    "[/inst]": "assistant",
}
TEMPLATES = (
    ChatMarkup(
        "<|im_start|>",
        re.compile(r"<\|im_start\|>(?P<role>\w+)(?:<\|im_sep\|>|[ \t]*\n)"),
        ("<|im_end|>", "<|endoftext|>"),
    ),
    ChatMarkup(
        "<|start_header_id|>",
        re.compile(r"<\|start_header_id\|>(?P<role>\w+)<\|end_header_id\|>\s*"),
        ("<|eot_id|>", "<|end_of_text|>"),
    ),
    ChatMarkup("<｜User｜>", re.compile("<｜(?P<role>User|Assistant)｜>"), ("<｜end▁of▁sentence｜>",), lead="system"),
    ChatMarkup(
        "<|START_OF_TURN_TOKEN|>",
        re.compile(r"<\|START_OF_TURN_TOKEN\|><\|(?P<role>SYSTEM|USER|CHATBOT)_TOKEN\|>"),
        ("<|END_OF_TURN_TOKEN|>",),
    ),
    ChatMarkup("<start_of_turn>", re.compile(r"<start_of_turn>(?P<role>\w+)\n"), ("<end_of_turn>", "<eos>")),
    ChatMarkup(
        "<|user|>", re.compile(r"<\|(?P<role>system|user|assistant)\|>\s*"), ("<|end|>", "</s>", "<|endoftext|>")
    ),
    ChatMarkup("<|prompter|>", re.compile(r"<\|(?P<role>system|prompter|assistant)\|>\s*"), ("<|endoftext|>", "</s>")),
    ChatMarkup("<extra_id_1>", re.compile(r"\n?<extra_id_[01]>(?P<role>System|User|Assistant)\n"), (), lead="user"),
    ChatMarkup("[INST]", re.compile(r"(?:<s>\s*)?(?P<role>\[/?INST\])"), ("</s>",)),
    ChatMarkup(
        "### Instruction:", re.compile(r"(?:^|\n)### (?P<role>Instruction|Input|Response):[ \t]*\n?"), ("</s>",)
    ),
    ChatMarkup("### Human:", re.compile(r"(?:^|\n)### (?P<role>Human|Assistant):[ \t]*"), ("</s>",)),
    ChatMarkup(
        "ASSISTANT:",
        re.compile(r"(?:^|\s|</s>)(?P<role>USER|ASSISTANT):"),
        ("</s>",),
        "system",
        "A chat between a curious",
    ),
)
"""The templates known, the surer ones first."""
END_MARKERS = (
    "<|im_end|>",
    "<|eot_id|>",
    "<end_of_turn>",
    "[/INST]",
    "### Response:",
    "### Assistant:",
    "<|assistant|>",
    "<｜Assistant｜>",
)
MARKERS = (*(template.marker for template in TEMPLATES), *END_MARKERS)
"""What a text holds that has been through a chat template."""
_LAST = ("<|im_end|>", "<|eot_id|>", "<end_of_turn>", "<|endoftext|>", "</s>", "<extra_id_1>", "<｜end▁of▁sentence｜>")
SUSPECT = tuple(dict.fromkeys((*MARKERS, *_LAST)))
"""What a text holds that has, or may have, been through a chat template."""


def marker_in(text: str) -> str | None:
    """The first marker of a template that a text holds, or None."""
    return next((marker for marker in MARKERS if marker in text), None)


def turns_in(text: str) -> list[dict[str, str | None]] | None:
    """The turns of a text that is written in a template from its beginning, or None where that is not certain.

    An empty last turn of the assistant's, which asks for the reply, is left out.
    """
    # The sentence of Alpaca's template, which stands before its first header and is by nobody.
    body = _PREAMBLE.sub("", _BEGIN.sub("", text, count=1), count=1)
    for template in TEMPLATES:
        if template.marker in body:
            found = _split(body, template)
            # A text may quote a template: only one that makes a conversation, and says something, is taken for one.
            return found if found and any(turn["content"] for turn in found) and _alternating(found) else None
    return None


def without_end(text: str) -> str:
    """A reply without the end token after it."""
    stripped = text.rstrip()
    end = next((end for end in _LAST if stripped.endswith(end)), None)
    within = end is None or text.count(end) > 1 or (end == "</s>" and "<s>" in text)  # struck-out text ends so, too
    return text if within or end is None else stripped.removesuffix(end).rstrip()


def _split(body: str, template: ChatMarkup) -> list[dict[str, str | None]] | None:
    headers = list(template.header.finditer(body))
    before = body[: headers[0].start()].strip() if headers else ""
    if not headers or (before and (template.lead is None or not before.startswith(template.opening))):
        return None
    turns: list[dict[str, str | None]] = []
    if before and template.lead:
        turns.append(_turn(template.lead, before))
    starts = [*(match.start() for match in headers[1:]), len(body)]
    for match, end in zip(headers, starts, strict=True):
        _take(turns, match["role"].lower(), _bare(body[match.end() : end], template.ends))
    # The template was applied with add_generation_prompt.
    if turns and turns[-1]["role"] == "assistant" and not turns[-1]["content"]:
        turns.pop()
    return None if any(marker_in(turn["content"] or "") for turn in turns) else turns


def _take(turns: list[dict[str, str | None]], called: str, content: str) -> None:
    """Append a turn; the input of an instruction goes below it, and a system text within it before it."""
    role = _CALLED.get(called, called)
    if role == "input":
        if turns and content:
            turns[-1]["content"] = f"{turns[-1]['content']}\n{content}"
        return
    system = _SYSTEM.match(content) if role == "user" and not turns else None
    if system:
        turns.append(_turn("system", system[1].strip()))
        content = content[system.end() :]
    turns.append(_turn(role, content))


def _bare(text: str, ends: tuple[str, ...]) -> str:
    text = text.strip()
    for end in ends:
        text = text.removesuffix(end).rstrip()
    return text


def _turn(role: str, content: str) -> dict[str, Any]:
    return {"role": role, "content": content, PROBLEM: None}


def _alternating(turns: list[dict[str, str | None]]) -> bool:
    # An empty system turn is what some templates open with; it says nothing, and is dropped later.
    roles = [turn["role"] for turn in turns if turn["content"] or turn["role"] != "system"]
    spoken = roles[1:] if roles and roles[0] == "system" else roles
    return bool(spoken) and all(
        role == ("user", "assistant")[(place + (spoken[0] == "assistant")) % 2] for place, role in enumerate(spoken)
    )
