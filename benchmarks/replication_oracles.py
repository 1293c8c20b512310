"""Prompts for the replication, and programs that say which of two replies has more of a feature."""

import re
from collections.abc import Callable, Mapping

TOPICS = (
    "the sea", "bread", "winter", "cats", "trains", "gardens", "the moon", "chess", "coffee", "rain", "forests",
    "libraries", "bicycles", "birds", "mountains", "cooking", "music", "rivers", "castles", "football", "honey",
    "islands", "painting", "markets", "stars", "horses", "bridges", "tea", "snow", "dancing", "villages", "books",
    "swimming", "apples", "clouds", "museums", "dogs", "summer", "boats", "photography", "mushrooms", "cheese",
    "theatre", "running", "deserts", "butterflies", "holidays", "school",
)  # fmt: skip
QUESTIONS = ("What do you think of {}?", "Tell me something about {}.", "Why do people care about {}?",
             "What should I know about {}?")  # fmt: skip

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
_LISTED = re.compile(r"(?m)^\s*(?:\d+[.)]|[-*•])\s")


def prompts() -> list[str]:
    """192 short questions, in a fixed order."""
    return [question.format(topic) for question in QUESTIONS for topic in TOPICS]


def brevity(text: str) -> float:
    """Fewer words are more."""
    return -float(len(text.split()))


def gladness(text: str) -> float:
    """Glad words less sad ones."""
    words = re.findall(r"[a-z]+", text.lower())
    return float(sum(word in GLAD for word in words) - sum(word in SAD for word in words))


def listing(text: str) -> float:
    """Lines that are list items, as a share of all."""
    lines = [line for line in text.splitlines() if line.strip()]
    return len(_LISTED.findall(text)) / len(lines) if lines else 0.0


ORACLES: Mapping[str, Callable[[str], float]] = {"Concision": brevity, "Positivity": gladness, "Listing": listing}


def verdict(feature: str, chosen: str, rejected: str) -> int:
    """1 where the chosen reply has more of the feature, -1 where it has less, 0 where they are even."""
    one, other = ORACLES[feature](chosen), ORACLES[feature](rejected)
    return (one > other) - (one < other)
