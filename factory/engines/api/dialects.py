"""What each vendor's API speaks: how a request is addressed and written, and its answer read; the client is one."""

from collections.abc import Callable, Mapping
from pkgutil import resolve_name
from typing import Any, NamedTuple, Protocol, Self

from factory.config.apis import ApiEngine
from factory.engines.api.wire import ReadAnswer
from factory.engines.base import Request

DIALECTS: Mapping[str, str] = {
    "openai": "factory.engines.api.openai:OPENAI",
    "anthropic": "factory.engines.api.anthropic:ANTHROPIC",
    "gemini": "factory.engines.api.gemini:GEMINI",
}
"""Where the Dialect of each kind of ApiEngine is."""


class BodyFields(Protocol):
    """Which optional fields the server takes."""

    @property
    def lost(self) -> str:
        """What its user should know of a field that is not sent any more; empty where it changes no answer."""

    def body(self, request: Request, model: str, extra: Mapping[str, Any]) -> dict[str, Any]:
        """The JSON body of `request`; `extra` wins over what is said here."""

    def without_refused(self, error: Mapping[str, Any], message: str) -> Self | None:
        """The fields to try after a 400 that blames one of the optional fields, or None when it blames none."""


class Dialect(NamedTuple):
    """One vendor's way to say what all of them are asked."""

    url: Callable[[str, str], str]
    """Where a request goes, of the address and the model's name."""
    headers: Callable[[Any, str], dict[str, str]]
    """What goes with it, of the engine's block and the key, which is empty where a server needs none."""
    fields: Callable[[Any], BodyFields]
    """The fields that the engine's block asks to begin with."""
    read: ReadAnswer
    """What a response body says; None where that is no answer."""
    status: Callable[[int, Mapping[str, Any]], int] = lambda status, error: status
    """The status by which OpenAI would have said it, of the status and the error object that came."""


def dialect_of(block: ApiEngine) -> Dialect:
    """What the servers of this kind of engine speak."""
    found: Dialect = resolve_name(DIALECTS[block.kind])
    return found
