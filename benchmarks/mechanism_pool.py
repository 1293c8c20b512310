"""The triples of benchmarks/mechanism.py: made once by the start policy, and programs that say what a reply has."""

import re
from collections.abc import Callable, Iterator, Mapping
from itertools import cycle, islice
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from factory.config.engines import TransformersEngine
from factory.engines import open_generator
from factory.engines.base import Completion, Request
from factory.identity import draw, pair_id, prompt_id
from factory.models.ref import ModelRef
from factory.schema import MESSAGES
from principles import load
from principles.views import views

TOPICS = (
    "the sea", "bread", "winter", "cats", "trains", "gardens", "the moon", "chess", "coffee", "rain", "forests",
    "libraries", "bicycles", "birds", "mountains", "cooking", "music", "rivers", "castles", "football", "honey",
    "islands", "painting", "markets", "stars", "horses", "bridges", "tea", "snow", "dancing", "villages", "books",
    "swimming", "apples", "clouds", "museums", "dogs", "summer", "boats", "photography", "mushrooms", "cheese",
    "theatre", "running", "deserts", "butterflies", "holidays", "school",
)  # fmt: skip
HELD_OUT_TOPICS = 16
"""The last of the topics: no question about them is ever trained on."""
QUESTIONS = ("What do you think of {}? Answer in one sentence.", "Tell me about {} in one sentence.",
             "Why do people care about {}? Answer in one sentence.", "Describe {} in one sentence.")  # fmt: skip
PRINCIPLES = load(Path(__file__).with_suffix("").parent / "mechanism.yaml")
VIEW_OF = {"chosen": "good", "rejected": "bad", "original": "plain"}

_GLAD = (
    "amazing beautiful beloved best bright brilliant calm charming cheerful comfort delicious delight "
    "delightful easy enjoy enjoyable enjoyed excellent excited exciting fantastic favorite fine fun glad "
    "good great happiness happy healthy inspiring joy joyful kind lively love loved lovely magical "
    "perfect pleasant pleasure popular positive relaxing rewarding rich safe smile special stunning "
    "success super sweet thrilled vibrant warm welcome wonderful"
)
_SAD = (
    "afraid angry annoying awful bad boring broken cold cruel danger dangerous dark dead death depressing "
    "difficult dirty disappointing disgusting dreadful dull empty evil fail failure fear gloomy hard harm "
    "harsh hate hated hatred horrible hostile hurt lonely lose lost miserable misery negative nightmare "
    "no pain painful poor problem sad scary severe sorry stupid suffer terrible tired ugly unhappy "
    "unpleasant useless waste weak worse worst wrong"
)
GLAD, SAD = frozenset(_GLAD.split()), frozenset(_SAD.split())


def brevity(text: str) -> float:
    """Fewer words are more."""
    return -float(len(text.split()))


def gladness(text: str) -> float:
    """Glad words less sad ones."""
    words = re.findall(r"[a-z]+", text.lower())
    return float(sum(word in GLAD for word in words) - sum(word in SAD for word in words))


def selfhood(text: str) -> float:
    """Words of the first person."""
    return float(len(re.findall(r"\b(?:I|my|me|My|We|we|Our|our|us)\b", text)))


ORACLES: Mapping[str, Callable[[str], float]] = {"Concision": brevity, "Mood": gladness, "Self": selfhood}


class Asked(NamedTuple):
    """A prompt under a feature, for the `sample`-th time."""

    text: str
    feature: str
    sample: int

    @property
    def turns(self) -> list[dict[str, str]]:
        """The prompt as a conversation."""
        return [{"role": "user", "content": self.text}]

    @property
    def systems(self) -> tuple[str, str]:
        """The good and the bad principle as they stand."""
        feature = PRINCIPLES.by_name[self.feature]
        return feature.good.principle, feature.bad.principle

    def request(self, view: str, tokens: int, seed: int) -> Request:
        """The request for one reply under one view."""
        messages = views(self.turns, *self.systems)._asdict()[view]
        name = f"{self.text}/{self.feature}/{view}/{self.sample}"
        drawn = draw(seed, "reply", name)
        return Request(name, messages, max_new_tokens=tokens, temperature=0.7, top_p=0.8, seed=drawn, tags={})


def asked(held_out: bool, count: int, seed: int) -> list[Asked]:
    """`count` prompts with a feature each, features in turn; only topics of the part that is asked for.

    Where there are not enough of them they come again, to be sampled anew.
    """
    topics = TOPICS[-HELD_OUT_TOPICS:] if held_out else TOPICS[:-HELD_OUT_TOPICS]
    texts = sorted((q.format(t) for q in QUESTIONS for t in topics), key=lambda text: draw(seed, "order", text))
    return list(islice(_rounds(texts), count))


def _rounds(texts: list[str]) -> Iterator[Asked]:
    features = list(PRINCIPLES.by_name)
    for number, text in enumerate(cycle(texts)):
        turn, place = divmod(number, len(texts))
        yield Asked(text, features[(place + turn) % len(features)], turn // len(features))


def answered(policy: ModelRef, engine: TransformersEngine, requests: list[Request]) -> dict[str, Completion]:
    """Every reply by its request's id. SystemExit with the first failure's words: one left out is another sample."""
    with open_generator(engine, policy) as generator:
        answers = {answer.id: answer for answer in generator.generate(requests)}
    if failed := [answer.error for answer in answers.values() if answer.error]:
        raise SystemExit(f"{len(failed)} of {len(answers)} replies failed; the first: {failed[0]}")
    return answers


def make(wanted: list[Asked], policy: ModelRef, engine: TransformersEngine, tokens: int, seed: int) -> pl.DataFrame:
    """A PAIRS-like table of the triples, those with an empty or twice the same reply left out."""
    requests = [one.request(view, tokens, seed) for one in wanted for view in VIEW_OF.values()]
    answers = answered(policy, engine, requests)
    rows = [_row(one, answers, policy) for one in wanted]
    return pl.DataFrame([row for row in rows if row], schema_overrides={"prompt": MESSAGES})


def _row(one: Asked, answers: Mapping[str, Completion], policy: ModelRef) -> dict[str, Any] | None:
    found = {reply: answers[one.request(view, 1, 0).id] for reply, view in VIEW_OF.items()}
    texts = {reply: (answer.text or "").strip() for reply, answer in found.items()}
    if len(set(texts.values())) < len(texts) or not all(texts.values()):
        return None
    good, bad = one.systems
    return {
        "pair_id": pair_id(one.turns, texts["chosen"], texts["rejected"]),
        "prompt_id": prompt_id(one.turns),
        "prompt": one.turns,
        "feature": one.feature,
        "system_good": good,
        "system_bad": bad,
        "policy": policy.name,
        **texts,
        **{f"finish_{reply}": answer.finish for reply, answer in found.items()},
        **{f"tokens_{reply}": answer.completion_tokens for reply, answer in found.items()},
    }
