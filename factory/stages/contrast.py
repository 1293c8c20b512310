"""Contrast: the feature of each prompt becomes two system messages, x+ and x-."""

import re
from collections.abc import Sequence
from typing import NamedTuple

import polars as pl

from factory.config import Principles
from factory.engines.base import Completion, Generator, Request
from factory.errors import ConfigError
from factory.identity import Messages, draw
from factory.schema import CONTRAST, conform
from principles import TOGETHER, Feature, PrincipleSet, Side, Template, template

_LINE = re.compile(r"(?i)^[*_\s]*(good|bad)(?: (?:principle|instruction))?[*_\s]*:[*_\s]*(.*\S)\s*$")
_WORDS = range(8, 201)
"""How many words a written principle may have: fewer say nothing, more are not the few sentences asked for."""


class Written(NamedTuple):
    """The good and the bad principle of a prompt."""

    good: str
    bad: str


def contrast(
    prompts: pl.DataFrame,
    features: pl.DataFrame,
    principles: PrincipleSet,
    config: Principles,
    engine: Generator | None,
    seed: int,
    iteration: int,
) -> pl.DataFrame:
    """The CONTRAST table: a row for each prompt of `features`, joined to `prompts` by prompt_id.

    With `source: generated` the policy (`engine`) writes both principles for each prompt; where its answer cannot be
    read, or none came, the set's own are used, and `principle_source` says which it was.
    """
    frame, records = template("contrast"), []
    # By prompt, as prompts and triples are: the tables of an iteration are read beside each other, part by part.
    rows = features.select("prompt_id", "feature", "feature_source").sort("prompt_id").rows()
    written = {} if config.source == "set" else _written(prompts, rows, principles, engine, seed, iteration)
    for prompt_id, name, source in rows:
        chosen = _features(principles, name)
        goods, bads = [one.good for one in chosen], [one.bad for one in chosen]
        # An answer that cannot be read costs no prompt: the set's own principles stand in.
        own = written.get(prompt_id)
        good, bad = own or Written(*("\n\n".join(side.principle for side in sides) for sides in (goods, bads)))
        records.append(
            {
                "prompt_id": prompt_id,
                "feature": name,
                "feature_source": source,
                "principle_source": "generated" if own else "set",
                "system_good": frame.render(principle=closed(good, goods, config))[0]["content"],
                "system_bad": frame.render(principle=closed(bad, bads, config))[0]["content"],
                "adjective_good": TOGETHER.join(side.adjective for side in goods),
                "adjective_bad": TOGETHER.join(side.adjective for side in bads),
            }
        )
    return conform(pl.DataFrame(records, schema=CONTRAST.dtypes), CONTRAST)


def closed(principle: str, sides: Sequence[Side], config: Principles) -> str:
    """The principle, closed with the adjectives of its side where the configuration says so."""
    words = " and ".join(side.adjective.lower() for side in sides)
    return f"{principle}\n\nIn a word, let your reply be {words}." if config.adjective else principle


def longest(principles: PrincipleSet, config: Principles) -> list[str]:
    """System messages, or stand-ins for them, of which one is as long as any that the configuration can lead to."""
    # Texts longer than any message that can come are enough: only their length is measured.
    at_once = (2 if config.features == "both" else 1) + (config.beside == "appended" and bool(principles.beside))
    frame, found = template("contrast"), [] if at_once > 1 or config.adjective else [*principles.system_messages()]
    if not found:
        for sides in ([one.good for one in principles.features], [one.bad for one in principles.features]):
            most = sorted(sides, key=lambda side: -len(side.principle))[:at_once]
            text = closed("\n\n".join(side.principle for side in most), most, config)
            found.append(frame.render(principle=text)[0]["content"])
    if config.source == "generated":
        # A principle that the policy writes is not known yet; a longer one than this is not read.
        found.append(frame.render(principle=" ".join(["principle"] * _WORDS[-1]))[0]["content"])
    return found


def read_principles(answer: Completion) -> Written | None:
    """The two principles of an answer: one line `Good: …`, one line `Bad: …`, nothing else, and not cut short.

    None unless both have 8 to 200 words and they differ.
    """
    if answer.text is None or answer.finish == "length":
        return None
    # Two lines and nothing else: of an answer that says more, nobody knows which words are the principle.
    lines = [_LINE.match(line) for line in answer.text.splitlines() if line.strip()]
    found = {line[1].lower(): line[2].strip() for line in lines if line}
    if len(lines) != 2 or None in lines or found.keys() != {"good", "bad"} or found["good"] == found["bad"]:
        return None
    if any(len(text.split()) not in _WORDS for text in found.values()):
        return None
    return Written(found["good"], found["bad"])


def _written(
    prompts: pl.DataFrame,
    rows: list[tuple[str, str, str]],
    principles: PrincipleSet,
    engine: Generator | None,
    seed: int,
    iteration: int,
) -> dict[str, Written]:
    if engine is None:
        raise ConfigError("principles.source is generated, which needs an engine; open the policy's or use source: set")
    conversations = dict(prompts.select("prompt_id", "prompt").rows())
    frame = template("principles")
    requests = [
        _request(frame, prompt_id, conversations[prompt_id], _features(principles, name), seed, iteration)
        for prompt_id, name, _ in rows
    ]
    read = {answer.id.removeprefix("principle/"): read_principles(answer) for answer in engine.generate(requests)}
    return {prompt_id: both for prompt_id, both in read.items() if both is not None}


def _request(
    frame: Template, prompt_id: str, prompt: Messages, features: Sequence[Feature], seed: int, iteration: int
) -> Request:
    name = " and ".join(one.name for one in features)
    messages = frame.render(
        prompt=prompt,
        feature=name,
        meaning=" ".join(one.meaning for one in features),
        good=" and ".join(one.good.adjective.lower() for one in features),
        bad=" and ".join(one.bad.adjective.lower() for one in features),
    )
    return Request(
        id=f"principle/{prompt_id}",
        messages=messages,
        max_new_tokens=400,
        seed=draw(seed, "principle", prompt_id, iteration),
        tags={"stage": "principle", "prompt_id": prompt_id, "feature": name},
    )


def _features(principles: PrincipleSet, names: str) -> tuple[Feature, ...]:
    try:
        return principles.at(names)
    except KeyError as error:
        raise ConfigError(
            f"the feature {error.args[0]} is not in the principle set {principles.name}; make the features anew"
        ) from error
