"""The views of a prompt: x as it is, and x+ and x- with a principle as system message."""

from factory.identity import Messages


def view_messages(prompt: Messages, system: str | None) -> list[dict[str, str]]:
    """`prompt` with `system` put before its turns, under the prompt's own system message where it has one.

    None gives the prompt as it is. Generation and training both build their views here, so that a reply is scored under
    the very words it was written under.
    """
    turns = [{"role": turn["role"], "content": turn["content"]} for turn in prompt]
    if system is None:
        return turns
    if turns and turns[0]["role"] == "system":
        return [{"role": "system", "content": f"{turns[0]['content']}\n\n{system}"}, *turns[1:]]
    return [{"role": "system", "content": system}, *turns]
