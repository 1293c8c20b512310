"""The three views of a prompt: as it is (x), under its good principle (x+), under its bad one (x-)."""

from typing import NamedTuple

from factory.identity import Messages

Turns = list[dict[str, str]]


class Views(NamedTuple):
    """The conversations under which replies are sampled and scored; a view without its system message is None."""

    plain: Turns
    good: Turns | None
    bad: Turns | None


def view_messages(prompt: Messages, system: str | None = None) -> Turns:
    """`prompt` under one more system message; the prompt's own stays, above it, in the same single system turn.

    A new list of `{"role", "content"}`; with `system` None it is the prompt itself, the plain view. Later turns are
    kept as they are.
    """
    turns = [{"role": turn["role"], "content": turn["content"]} for turn in prompt]
    if system is None:
        return turns
    # One system turn, since many chat templates refuse a second one.
    if turns and turns[0]["role"] == "system":
        own = turns[0]["content"]
        return [{"role": "system", "content": f"{own}\n\n{system}" if own.strip() else system}, *turns[1:]]
    return [{"role": "system", "content": system}, *turns]


def views(prompt: Messages, system_good: str | None, system_bad: str | None) -> Views:
    """The three views of `prompt`; a pair without system messages (an annotated one) has only the plain view."""
    good, bad = (None if system is None else view_messages(prompt, system) for system in (system_good, system_bad))
    return Views(view_messages(prompt), good, bad)


def folded(messages: Messages) -> Turns:
    """The conversation with its leading system messages moved to the head of the first user turn."""
    turns = [dict(turn) for turn in messages]
    count = next((i for i, turn in enumerate(turns) if turn["role"] != "system"), len(turns))
    system, rest = "\n\n".join(turn["content"] for turn in turns[:count]), turns[count:]
    if not system:
        return rest
    if rest and rest[0]["role"] == "user":
        return [{**rest[0], "content": f"{system}\n\n{rest[0]['content']}"}, *rest[1:]]
    return [{"role": "user", "content": system}, *rest]
