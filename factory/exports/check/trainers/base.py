"""What a trainer makes of a pair before it trains: the tokens of both sides, or why there are none."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from factory.identity import Messages

Cells = Mapping[str, Any]
TRAINS, CUT, IDENTICAL, DROPPED, FAILS = "trains", "cut", "identical", "dropped", "fails"
EFFECTS = (CUT, IDENTICAL, DROPPED, FAILS)
"""What can become of a pair that does not train as it is: shortened; both sides the same tokens, from which nothing
can be learned though it trains; left out; a row at which the trainer ends."""


class Tokenizer(Protocol):
    """What is needed of a transformers tokenizer."""

    eos_token: str
    eos_token_id: int

    def __call__(self, text: str, *, add_special_tokens: bool = True) -> Mapping[str, Any]:
        """The tokens of a text."""

    def apply_chat_template(self, conversation: Messages, *, tokenize: bool, **options: Any) -> Any:
        """A conversation as text or tokens."""

    def encode(self, text: str, *, add_special_tokens: bool = True) -> list[int]:
        """The ids of a text."""

    def decode(self, ids: Sequence[int]) -> str:
        """The text of ids."""


class Prepared(NamedTuple):
    """The tokens of both sides as the model is given them."""

    chosen: list[int]
    rejected: list[int]
    cut: bool = False
    dropped: str | None = None
    """Why the trainer leaves the pair out."""

    @property
    def effect(self) -> str:
        """What becomes of the pair: one of EFFECTS, or `trains`."""
        if self.dropped is not None:
            return DROPPED
        if self.chosen == self.rejected:
            return IDENTICAL
        return CUT if self.cut else TRAINS


class Trainer(NamedTuple):
    """How a trainer, or an evaluator, reads pairs."""

    name: str
    version: str
    """Of which its reading was looked at."""
    formats: tuple[str, ...]
    prepare: Callable[[Cells, Tokenizer, int], Prepared]


def rendered(tokenizer: Tokenizer, messages: Messages, *, to_reply: bool = False) -> str:
    """A conversation by the chat template, as text; with `to_reply` open for the reply."""
    text: str = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=to_reply)
    return text


def ids_of(tokenizer: Tokenizer, text: str, *, special: bool = True) -> list[int]:
    """The tokens of a text, with those that the tokenizer puts around one where `special`."""
    return list(tokenizer(text, add_special_tokens=special)["input_ids"])


def both_cut(chosen: list[int], rejected: list[int], longest: int, dropped: str | None = None) -> Prepared:
    """Both sides with what is beyond `longest` cut from their ends."""
    cut = max(len(chosen), len(rejected)) > longest
    return Prepared(chosen[:longest], rejected[:longest], cut, dropped)
