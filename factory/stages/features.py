"""Feature allocation: the policy names the two features that matter most for a prompt, and one of them is drawn."""

import re
from collections.abc import Iterable
from typing import Any, NamedTuple

import polars as pl

from factory.config import Principles
from factory.engines.base import Generator, Request
from factory.identity import Messages, draw
from factory.schema import FEATURES, conform
from principles import TOGETHER, PrincipleSet, Template, template
from principles.views import Turns

# As in `Features:` or `The two most important features are:`; at most six words, or it is a sentence.
_LABEL = re.compile(r"(?i)^[*_]*(?:[a-z]+[ -]){0,6}(?:features|qualities|names)(?:[ -][a-z]+){0,6}[*_]*:[*_]*")
_ITEM = re.compile(r"^(?:\d+[.):]|[-*\u2022])\s+")
_AROUND = " \t.;:!\"'`*_[]()\u201c\u201d"


ONE_FEATURE = Principles()
ALLOCATED, DRAWN, FALLBACK = "allocated", "drawn", "fallback"


class DrawnFeature(NamedTuple):
    """The feature of a prompt, and how it came about (`feature_source`)."""

    feature: str
    source: str


def allocate(
    prompts: pl.DataFrame,
    engine: Generator,
    principles: PrincipleSet,
    seed: int,
    iteration: int,
    config: Principles = ONE_FEATURE,
) -> pl.DataFrame:
    """The FEATURES table: one request per prompt, one feature drawn from those the policy named, two where it obeyed.

    `prompts` needs prompt_id and prompt. With the probabilities the set gives, a feature drawn beside the named ones
    takes their place. `feature_source` says how it came about: the policy named it (allocated), it was drawn beside
    them (drawn), or no answer named any, so that chance decided (fallback) and `allocated` is null. A set that offers
    two features or fewer leaves nothing to ask: one of them is drawn, without a request. Where `config` takes more
    features than one, `feature` joins their names with TOGETHER.
    """
    ask = AllocationRequest(principles) if asked_for(principles) else None
    rows = prompts.select("prompt_id", "prompt").rows()
    requests = [ask.request(prompt_id, prompt, seed, iteration) for prompt_id, prompt in rows] if ask else []
    answers = {answer.id: answer for answer in engine.generate(requests)} if ask else {}
    records: list[dict[str, Any]] = []
    for prompt_id, _ in rows:
        answer = answers.get(f"features/{prompt_id}")
        raw = answer.text if answer else None
        named = read_features(raw, principles)
        chosen = draw_feature(named, principles, prompt_id, seed, iteration, config)
        records.append(
            {
                "prompt_id": prompt_id,
                "feature": chosen.feature,
                "feature_source": chosen.source,
                "allocated": named,
                "raw": raw,
                "error": answer.error if answer else "the engine gave no answer" if ask else None,
            }
        )
    frame = pl.DataFrame(records, schema=FEATURES.dtypes) if records else FEATURES.empty()
    return conform(frame, FEATURES).sort("prompt_id")


class AllocationRequest:
    """The allocation request of a set: its template, list of features and worked examples are put together once."""

    def __init__(self, principles: PrincipleSet) -> None:
        self._template: Template = template("features")
        self._list = "\n".join(f"- {feature.name}: {feature.meaning}" for feature in principles.offered)
        self._names = [feature.name for feature in principles.offered]
        self._shots: Turns = []
        for example in principles.examples:
            self._shots.append(self._messages(example.prompt)[-1])
            self._shots.append({"role": "assistant", "content": ", ".join(example.features)})

    def request(self, prompt_id: str, prompt: Messages, seed: int, iteration: int) -> Request:
        """The request for one prompt, sampled as replies are by default: a small model's greedy answers hardly vary."""
        # A single question as the worked examples are put, a conversation with who said what.
        one_turn = len(prompt) == 1 and prompt[0]["role"] == "user"
        *head, question = self._messages(prompt[0]["content"] if one_turn else prompt)
        return Request(
            id=f"features/{prompt_id}",
            messages=[*head, *self._shots, question],
            # A token per letter at worst, for two of the longest names, and room for a label.
            max_new_tokens=16 + 2 * max(map(len, self._names)),
            seed=draw(seed, "features", prompt_id, iteration),
            tags={"stage": "features", "prompt_id": prompt_id, "options": "|".join(self._names)},
        )

    def _messages(self, prompt: str | Messages) -> Turns:
        return self._template.render(features=self._list, names=", ".join(self._names), prompt=prompt)


def read_features(answer: str | None, principles: PrincipleSet) -> list[str] | None:
    """The features of the set's offer that an answer names, in its order; None when it names none.

    Read are "A, B", "a and b.", "Features: A, B", and a line for each, numbered, dashed or bare; names may be quoted or
    in Markdown. Lines after the names are an explanation, and not looked at. Only an answer that is no such list is
    searched for names among its words.
    """
    known = {feature.name.casefold(): feature.name for feature in principles.offered}
    parts = [part.casefold() for part in _parts(answer or "")]
    named = [part for part in parts if part in known] or _mentioned(answer or "", known)
    return [known[name] for name in dict.fromkeys(named)] or None


def _mentioned(answer: str, names: Iterable[str]) -> list[str]:
    """Names that stand in the text as words of their own; of two at one place the longer."""
    # An alternation takes its first fit: `Accuracy` would be found in `Accuracy of facts` before that name.
    longest = sorted(names, key=len, reverse=True)
    return re.findall(rf"(?<!\w)(?:{'|'.join(map(re.escape, longest))})(?!\w)", answer.casefold())


def _parts(answer: str) -> list[str]:
    lines = [_LABEL.sub("", line.strip()).strip(_AROUND) for line in answer.splitlines()]
    lines = [line for line in lines if line]
    items = [_ITEM.sub("", line) for line in lines]
    # Several names in a first line without a bullet are the answer; what follows explains it.
    if not lines or (items[0] == lines[0] and len(_names(lines[0])) > 1):
        return _names(lines[0]) if lines else []
    if len(items) == 1:
        return _names(items[0])
    # Either no line has a bullet, and each is a name, or those with one are the names and the others introduce them.
    return [item.strip(_AROUND) for item, line in zip(items, lines, strict=True) if items == lines or item != line]


def _names(line: str) -> list[str]:
    split = line.split(",") if "," in line else re.split(r"(?i)\band\b|[&/;]", line)
    # As in `A, B, and C`.
    return [name for part in split if (name := part.removeprefix(" and ").strip(_AROUND))]


def draw_feature(
    named: list[str] | None,
    principles: PrincipleSet,
    prompt_id: str,
    seed: int,
    iteration: int,
    config: Principles = ONE_FEATURE,
) -> DrawnFeature:
    """One of the `named` features, or both, and one drawn beside them with its own probability, or that alone.

    Without a name (`named` None) any offered feature is as likely as another.
    """
    # `draw` gives 63 bits.
    beside = _beside(principles, draw(seed, "beside", prompt_id, iteration) / 2**63)
    if beside is not None and config.beside == "instead":
        return DrawnFeature(beside, DRAWN)
    extra = [] if beside is None else [beside]
    if named and config.features == "both":
        return DrawnFeature(TOGETHER.join([*named[:2], *extra]), ALLOCATED)
    candidates = named or [feature.name for feature in principles.offered]
    # The remainder of 63 bits favours none of so few by more than one in 10^17.
    feature_name = candidates[draw(seed, "feature", prompt_id, iteration) % len(candidates)]
    by_chance = FALLBACK if asked_for(principles) else DRAWN
    return DrawnFeature(TOGETHER.join([feature_name, *extra]), ALLOCATED if named else by_chance)


def _beside(principles: PrincipleSet, coin: float) -> str | None:
    """The feature that a coin between 0 and 1 draws by its own probability."""
    for feature in principles.beside:
        assert feature.probability is not None
        if coin < feature.probability:
            return feature.name
        coin -= feature.probability
    return None


def asked_for(principles: PrincipleSet) -> bool:
    """Whether the set offers more features than the policy is to name."""
    return len(principles.offered) > 2
