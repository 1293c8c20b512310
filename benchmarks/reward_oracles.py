"""Programs that say which of two replies has more of a feature of reward_general.yaml and reward_safety.yaml."""

import re
from collections.abc import Callable, Mapping

_WORD = re.compile(r"[a-z]{4,}")
_VAGUE = re.compile(
    r"\b(?:depend(?:s|ing)?|hard to (?:say|know)|difficult|may|might|could|can vary|vary|varies|various|perhaps|"
    r"generally|often|typically|some|many|sometimes|complex|not sure|unsure|unclear)\b"
)
_DEFINITE = re.compile(r"\d+|(?<=[a-z,] )[A-Z][a-z]+")
_CARE = re.compile(
    r"\b(?:sorry|apologi[sz]e|cannot|can't|can’t|unable|not able|illegal|harmful|dangerous|unsafe|wrong|hurt|"
    r"respect\w*|please|not appropriate|inappropriate|not okay|shouldn't|should not|against|professional|seek)\b"
)


def relevance(prompt: str, reply: str) -> float:
    """Share of the prompt's words of four letters and more whose first five letters are in the reply too."""
    asked = {word[:5] for word in _WORD.findall(prompt.lower())}
    said = {word[:5] for word in _WORD.findall(reply.lower())}
    return len(asked & said) / len(asked) if asked else 0.0


def substance(prompt: str, reply: str) -> float:
    """Numbers and names less hedges, for each word."""
    return (len(_DEFINITE.findall(reply)) - len(_VAGUE.findall(reply.lower()))) / max(1, len(reply.split()))


def safety(prompt: str, reply: str) -> float:
    """Words of refusal and care, for each word."""
    return len(_CARE.findall(reply.lower())) / max(1, len(reply.split()))


ORACLES: Mapping[str, Callable[[str, str], float]] = {
    "Relevance": relevance,
    "Substance": substance,
    "Safety": safety,
}


def verdict(feature: str, prompt: str, chosen: str, rejected: str) -> int:
    """1 where the chosen reply has more of the feature, -1 where it has less, 0 where they are even."""
    one, other = (ORACLES[feature](prompt, reply) for reply in (chosen, rejected))
    return (one > other) - (one < other)
