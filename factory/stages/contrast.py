"""Contrast: the feature of each prompt becomes two system messages, x+ and x-."""

import re
from typing import NamedTuple

import polars as pl

from factory.config import Principles
from factory.engines.base import Completion, Generator, Request
from factory.errors import ConfigError
from factory.identity import Messages, draw
from factory.schema import CONTRAST, conform
from principles import Feature, PrincipleSet, Template, template

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
    rows = features.select("prompt_id", "feature", "feature_source").sort("prompt_id").rows()
    written = {} if config.source == "set" else _written(prompts, rows, principles, engine, seed, iteration)
    for prompt_id, name, source in rows:
        feature = _feature(principles, name)
        own = written.get(prompt_id)
        good, bad = own or Written(feature.good.principle, feature.bad.principle)
        records.append(
            {
                "prompt_id": prompt_id,
                "feature": name,
                "feature_source": source,
                "principle_source": "generated" if own else "set",
                "system_good": frame.render(principle=good)[0]["content"],
                "system_bad": frame.render(principle=bad)[0]["content"],
                "adjective_good": feature.good.adjective,
                "adjective_bad": feature.bad.adjective,
            }
        )
    return conform(pl.DataFrame(records, schema=CONTRAST.dtypes), CONTRAST)


def longest_written() -> str:
    """A stand-in for the longest system message that a written principle can lead to."""
    return template("contrast").render(principle=" ".join(["principle"] * _WORDS[-1]))[0]["content"]


def read_principles(answer: Completion) -> Written | None:
    """The two principles of an answer: one line `Good: …`, one line `Bad: …`, nothing else, and not cut short.

    None unless both have 8 to 200 words and they differ.
    """
    if answer.text is None or answer.finish == "length":
        return None
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
        _request(frame, prompt_id, conversations[prompt_id], _feature(principles, name), seed, iteration)
        for prompt_id, name, _ in rows
    ]
    read = {answer.id.removeprefix("principle/"): read_principles(answer) for answer in engine.generate(requests)}
    return {prompt_id: both for prompt_id, both in read.items() if both is not None}


def _request(frame: Template, prompt_id: str, prompt: Messages, feature: Feature, seed: int, iteration: int) -> Request:
    messages = frame.render(
        prompt=prompt,
        feature=feature.name,
        meaning=feature.meaning,
        good=feature.good.adjective.lower(),
        bad=feature.bad.adjective.lower(),
    )
    return Request(
        id=f"principle/{prompt_id}",
        messages=messages,
        max_new_tokens=400,
        seed=draw(seed, "principle", prompt_id, iteration),
        tags={"stage": "principle", "prompt_id": prompt_id, "feature": feature.name},
    )


def _feature(principles: PrincipleSet, name: str) -> Feature:
    feature = principles.by_name.get(name)
    if feature is None:
        raise ConfigError(f"the feature {name} is not in the principle set {principles.name}; make the features anew")
    return feature
