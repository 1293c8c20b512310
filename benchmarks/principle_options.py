"""Which reading of the principles tells the replies apart best, by programs that look for the feature.

    python benchmarks/principle_options.py --prompts 200                  all options
    python benchmarks/principle_options.py --prompts 4 --tokens 8         whether it runs

The bundled model answers each prompt under the good and the bad system message that every option makes of the same
feature, from the set of benchmarks/mechanism.yaml; a program each then says which of the two replies has more of the
feature. Prompts, features and sampling seeds are those of every option. Nothing is trained.
"""

import argparse
import sys
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

ROOT = Path(__file__).parent.parent
sys.path[0] = str(ROOT)

from benchmarks.mechanism_pool import ORACLES, PRINCIPLES, asked
from factory.config import BUNDLED_MODEL, Principles
from factory.config.engines import TransformersEngine
from factory.engines import open_generator
from factory.engines.base import Request
from factory.identity import draw, prompt_id
from factory.models.ref import ModelRef
from factory.schema import FEATURES, MESSAGES, conform
from factory.stages.contrast import contrast
from factory.statistics.shares import wilson
from factory.views import view_messages
from principles import TOGETHER

HELD_DOWN = "Concision"
FEATURES_DRAWN = ("Mood", "Self")


class Option(NamedTuple):
    """A reading: which features a prompt has whose drawn feature is `drawn`, and how its messages are written."""

    name: str
    of: Any
    config: Principles = Principles()


def other(drawn: str) -> str:
    """The one that was named and not drawn."""
    return FEATURES_DRAWN[1 - FEATURES_DRAWN.index(drawn)]


OPTIONS = (
    Option("one feature (default)", lambda drawn: [drawn]),
    Option("one feature, closed with its adjective", lambda drawn: [drawn], Principles(adjective=True)),
    Option("both named features at once", lambda drawn: [drawn, other(drawn)]),
    Option("both, closed with their adjectives", lambda drawn: [drawn, other(drawn)], Principles(adjective=True)),
    Option("Concision in the drawn one's place (default)", lambda _: [HELD_DOWN]),
    Option("Concision appended to the drawn one", lambda drawn: [drawn, HELD_DOWN]),
)


class Tally(NamedTuple):
    """How often the reply under the good message had more of a feature."""

    ahead: int
    even: int
    behind: int

    def __str__(self) -> str:
        decided = self.ahead + self.behind
        if not decided:
            return f"all {self.even} even"
        low, high = wilson(self.ahead, decided)
        return f"{self.ahead / decided:.0%} of {decided} ({low:.0%} to {high:.0%}), {self.even} even"


def tables(option: Option, texts: list[str]) -> pl.DataFrame:
    """The CONTRAST table of the prompts under an option."""
    drawn = [FEATURES_DRAWN[number % 2] for number in range(len(texts))]
    rows = [
        {"prompt_id": prompt_id(turns(text)), "prompt": turns(text), "feature": TOGETHER.join(option.of(feature))}
        for text, feature in zip(texts, drawn, strict=True)
    ]
    frame = pl.DataFrame(rows, schema_overrides={"prompt": MESSAGES})
    named = frame.with_columns(pl.lit("allocated").alias("feature_source"), allocated=pl.concat_list("feature"))
    features = conform(named.with_columns(raw=pl.col("feature"), error=pl.lit(None, pl.String)), FEATURES)
    made = contrast(frame.select("prompt_id", "prompt"), features, PRINCIPLES, option.config, None, 0, 1)
    return frame.select("prompt_id", "prompt").join(made, on="prompt_id")


def turns(text: str) -> list[dict[str, str]]:
    """The prompt as a conversation."""
    return [{"role": "user", "content": text}]


def requests(option: Option, texts: list[str], tokens: int) -> dict[str, Request]:
    """Both views of every prompt, by id."""
    found = {}
    for row in tables(option, texts).to_dicts():
        for view in ("good", "bad"):
            seed = draw(0, "reply", row["prompt_id"], view)
            name = f"{option.name}/{row['feature']}/{row['prompt_id']}/{view}"
            messages = view_messages(row["prompt"], row[f"system_{view}"])
            found[name] = Request(name, messages, tokens, seed=seed)
    return found


def tallied(option: Option, answers: Mapping[str, str]) -> str:
    """A line of the table."""
    pairs: dict[str, dict[str, str]] = {}
    for name, text in answers.items():
        kind, feature, place, view = name.split("/")
        if kind == option.name:
            pairs.setdefault(f"{feature}/{place}", {})[view] = text
    counts: dict[str, list[int]] = {}
    for key, both in pairs.items():
        for number, feature in enumerate(key.split("/")[0].split(TOGETHER)):
            gap = ORACLES[feature](both["good"]) - ORACLES[feature](both["bad"])
            name = "Concision" if feature == HELD_DOWN else "the drawn one" if not number else "the other"
            counts.setdefault(name, [0, 0, 0])[0 if gap > 0 else 2 if gap < 0 else 1] += 1
    said = [f"{name}: {Tally(*counts[name])}" for name in counts]
    words = [sum(len(both[view].split()) for both in pairs.values()) / len(pairs) for view in ("good", "bad")]
    return f"| {option.name} | {'; '.join(said)} | {words[0]:.1f} | {words[1]:.1f} |"


def main() -> None:
    """Answer and count."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prompts", type=int, default=200)
    parser.add_argument("--tokens", type=int, default=32, help="longest reply")
    given = parser.parse_args()
    texts = list(dict.fromkeys(one.text for one in asked(False, 128, 0)))[: given.prompts]
    wanted = [one for option in OPTIONS for one in requests(option, texts, given.tokens).values()]
    with open_generator(TransformersEngine(), ModelRef(BUNDLED_MODEL)) as generator:
        answers = {}
        for answer in generator.generate(wanted):
            answers[answer.id] = answer.text or ""
            print(f"{len(answers)} of {len(wanted)}", end="\r", file=sys.stderr)
    print(f"{len(texts)} prompts, replies of up to {given.tokens} tokens, {date.today().isoformat()}\n")
    print("| option | how often the good reply had more | words, good | words, bad |\n|---|---|---|---|")
    for option in OPTIONS:
        print(tallied(option, answers))


if __name__ == "__main__":
    main()
