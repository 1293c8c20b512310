"""Prompt templates as data files: validated on load, filled in one pass, with data as JSON that cannot break out."""

import re
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self

from pydantic import Field, model_validator

from factory.errors import InputError
from factory.identity import digest
from factory.strict import Strict
from principles.files import dotted, read
from principles.literal import json_literal, marks_of
from principles.views import Turns

_FOLDER = Path(__file__).parent / "templates"
_PLACEHOLDER = re.compile(r"\{\{\s*([a-z_]+)\s*\}\}")


class Kind(NamedTuple):
    """What a template of a kind must contain. Data values come from prompts and replies; they are put in as JSON."""

    text: frozenset[str]
    data: frozenset[str]


KINDS = {
    "features": Kind(frozenset({"features", "names"}), frozenset({"prompt"})),
    "contrast": Kind(frozenset({"principle"}), frozenset()),
    "principles": Kind(frozenset({"feature", "meaning", "good", "bad"}), frozenset({"prompt"})),
    "second": Kind(frozenset({"label"}), frozenset({"prompt", "reply"})),
    "judge": Kind(frozenset({"first", "second"}), frozenset({"prompt", "first_reply", "second_reply"})),
    "judge_feature": Kind(
        frozenset({"first", "second"}), frozenset({"feature", "prompt", "first_reply", "second_reply"})
    ),
}


class Turn(Strict):
    """One message of a template."""

    role: Literal["system", "user", "assistant"]
    """Who speaks."""
    content: str = Field(min_length=1)
    """Text with placeholders such as {{prompt}}."""


class Template(Strict):
    """A conversation with placeholders. `KINDS` says which ones a kind has; each must be there, and no other."""

    kind: Literal["features", "contrast", "principles", "second", "judge", "judge_feature"]
    """What the template is for."""
    description: str = ""
    """For readers of the file."""
    messages: tuple[Turn, ...] = Field(min_length=1)
    """The conversation."""

    @model_validator(mode="after")
    def _placeholders(self) -> Self:
        kind = KINDS[self.kind]
        known, found = kind.text | kind.data, set[str]()
        for number, turn in enumerate(self.messages, 1):
            for name in _PLACEHOLDER.findall(turn.content):
                if name not in known:
                    raise ValueError(f"message {number} holds {{{{{name}}}}}; {self.kind} has {_listed(known)} alone")
                found.add(name)
            # What is left over is a misspelt placeholder, which would be sent as it stands.
            if "{{" in _PLACEHOLDER.sub("", turn.content):
                raise ValueError(f"message {number} holds {{{{ that opens no placeholder such as {{{{prompt}}}}")
        if known - found:
            raise ValueError(f"no message holds {_listed(known - found)}, which {self.kind} must have")
        if self.kind == "contrast" and [turn.role for turn in self.messages] != ["system"]:
            raise ValueError("a contrast template is one system message, to be put above the prompt")
        return self

    @property
    def digest(self) -> str:
        """Hash of all that decides what is sent."""
        return digest([self.kind, [[turn.role, turn.content] for turn in self.messages]])

    def render(self, **values: Any) -> Turns:
        """The messages with every placeholder replaced, in one pass over the template's own text.

        Values of data placeholders (strings, or messages) become JSON, see `json_literal`; the others are put in as
        they are. Nothing inside a value is ever looked at again. TypeError when a value is missing or unknown.
        """
        kind = KINDS[self.kind]
        if values.keys() != kind.text | kind.data:
            raise TypeError(f"a {self.kind} template takes {_listed(kind.text | kind.data)}, and got {_listed(values)}")
        # Tags of this very template, whatever words it chose: a reply must not close the frame that it stands in.
        marks = frozenset[str]().union(*(marks_of(turn.content) for turn in self.messages))
        written = {
            name: json_literal(value, marks) if name in kind.data else str(value) for name, value in values.items()
        }

        # One pass over the template's own text: a reply that holds {{prompt}} stays what it is.
        def fill(found: re.Match[str]) -> str:
            return written[found[1]]

        return [{"role": turn.role, "content": _PLACEHOLDER.sub(fill, turn.content)} for turn in self.messages]


def template(name_or_path: str | Path) -> Template:
    """The template of that name in principles/templates, or of that file. InputError says what is wrong with it."""
    return read(name_or_path, _FOLDER, "template", Template, _place)


def _place(loc: tuple[int | str, ...], _: Any) -> str:
    return dotted(loc)


def template_of(kind: str, name_or_path: str | Path) -> Template:
    """`template`, which must be of `kind`: a judge must not be given a contrast template."""
    found = template(name_or_path)
    if found.kind != kind:
        raise InputError(f"{name_or_path}: a template of kind {found.kind}, and one of kind {kind} is needed")
    return found


def _listed(names: Any) -> str:
    return ", ".join(sorted(names)) or "nothing"
