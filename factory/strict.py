"""The base of every configuration block, and what is wrong with one, in a sentence."""

import ast
import inspect
import sys
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from functools import cache
from itertools import pairwise
from typing import Any, get_args

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails


class Strict(BaseModel):
    """Base of every configuration block: unknown keys, NaN and infinity are errors; values stay as they were loaded."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def descriptions(block: type[BaseModel]) -> dict[str, str]:
    """What is said of each field that something is said of: its description, or the docstring below it in the source.

    Read when it is asked for: pydantic's `use_attribute_docstrings` reads every source of a block that is imported.
    """
    bases = [base for base in reversed(block.__mro__) if issubclass(base, BaseModel) and base is not BaseModel]
    told = {name: said for base in bases for name, said in _docstrings(base.__module__).get(base.__name__, {}).items()}
    given = {name: field.description or told.get(name) for name, field in block.model_fields.items()}
    return {name: said for name, said in given.items() if said}


@cache
def _docstrings(module: str) -> dict[str, dict[str, str]]:
    """Field to docstring, by class; none where the source is not there."""
    try:
        # Python keeps no docstring of a field; the source has it.
        tree = ast.parse(inspect.getsource(sys.modules[module]))
    except (KeyError, OSError, TypeError):
        return {}
    return {node.name: dict(_below(node.body)) for node in ast.walk(tree) if isinstance(node, ast.ClassDef)}


def _below(body: Sequence[ast.stmt]) -> Iterator[tuple[str, str]]:
    for field, said in pairwise(body):
        match field, said:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                yield name, inspect.cleandoc(text)


def first_fault(error: ValidationError, block: type[BaseModel]) -> str:
    """What is wrong, and how many faults there are more; a misspelt key goes first, as others follow from it."""
    faults = _sorted(error)
    more = f" (and {len(faults) - 1} more fault{'s' * (len(faults) > 2)})" if len(faults) > 1 else ""
    return f"{_sentence(faults[0], block)}{more}"


def first_key(error: ValidationError, block: type[BaseModel]) -> str:
    """The key that `first_fault` is about, as it is written, with dots."""
    return _meant(block, _sorted(error)[0]["loc"])[0]


def _sorted(error: ValidationError) -> list[ErrorDetails]:
    # A misspelt key makes its right spelling missing as well, and is the one to mend.
    return sorted(error.errors(include_url=False), key=lambda fault: fault["type"] != "extra_forbidden")


def said_of(fault: ErrorDetails) -> str:
    """Pydantic's own words, without its label of them."""
    return fault["msg"].removeprefix("Value error, ").removeprefix("Input ")


def _sentence(fault: ErrorDetails, block: type[BaseModel]) -> str:
    """What is wrong and what to do, the key first."""
    key, known = _meant(block, fault["loc"])
    if fault["type"] == "extra_forbidden":
        near = get_close_matches(str(fault["loc"][-1]), known, n=1, cutoff=0.6)
        hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(sorted(known))}"
        return f"the key {key} is unknown; {hint}"
    if fault["type"] == "missing":
        return f"the key {key} is missing; add it"
    # Only the errors of some types have one.
    context = fault.get("ctx", {})
    if fault["type"] == "union_tag_not_found":
        return f"the key {key}.kind is missing; add it, to say which kind of {key.rsplit('.', 1)[-1]} it is"
    if fault["type"] == "union_tag_invalid":
        return f"{key}.kind: there is no {context['tag']!r}; known are {context['expected_tags']}"
    given = fault["input"]
    said = said_of(fault)
    plain = isinstance(given, str | int | float | bool | None) and repr(given) not in said
    shown = f", and is {given!r}" if plain else ""
    return f"{key}: {said}{shown}" if key else said


def _meant(block: type[BaseModel], loc: Sequence[int | str]) -> tuple[str, set[str]]:
    """The key at `loc` as it is written, and the keys known in its block.

    pydantic puts the tags of alternatives into `loc`; they narrow the choice and are no part of the key.
    """
    blocks, written = [block], []
    for part in loc[:-1]:
        # Of a union pydantic names the alternative that was tried, which nobody has written.
        tagged = [one for one in blocks if "kind" in one.model_fields and one.model_fields["kind"].default == part]
        fields = [one.model_fields[part] for one in blocks if part in one.model_fields]
        inner = [found for field in fields for found in blocks_in(field.annotation)]
        if not tagged:
            written.append(str(part))
        blocks = tagged or inner or blocks
    known = {field.alias or name for one in blocks for name, field in one.model_fields.items()}
    return ".".join([*written, *map(str, loc[-1:])]), known


def blocks_in(annotation: Any) -> Iterator[type[BaseModel]]:
    """The blocks that a field of this type may hold, or hold lists of."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from blocks_in(part)
