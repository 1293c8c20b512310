"""How a reply gives its principle away: by a label it begins with, or by calling itself what it was told to be."""

import re
from collections.abc import Iterable

_NOUN = r"(?:response|reply|answer|version|output|completion)"
_SELF = rf"(?:{_NOUN}|assistant|writer|expert|ai|bot|chatbot|model)"
_ARTICLE = r"(?:(?:an?|the|my|your|our)\s+)?"
_DEGREE = r"(?:(?:very|more|most|truly|rather|deliberately|[a-z]+ly)\s+)?"
_DASH = r"[-\u2013\u2014]"
# A class of no character: a pattern that finds nothing, in `re` and in polars' engine, which knows no look-ahead.
_NOTHING = r"[^\s\S]"
_PLAIN_LABELS = ("good", "bad", "better", "worse", "chosen", "rejected")


def leak_pattern(adjectives: Iterable[str]) -> str:
    """A regular expression, for `re` and polars alike, that finds a reply calling itself one of `adjectives`.

    Finds "As a dull answer", "here is an unhelpful reply", a line "Engaging response:", "I was told to be dull",
    "deliberately dull"; leaves alone a text that merely uses the word. Without adjectives it finds nothing.
    """
    # Only what both engines read alike: neither look-around nor back-references; (?m:…) for the ends of lines.
    words = either(adjectives)
    if not words:
        return _NOTHING
    found = (
        rf"\b(?:as|here(?:['\u2019]s|\s+is)|this\s+is|(?:below|following)\s+is)\s+{_ARTICLE}{_DEGREE}{words}[\s-]+(?:\w+\s+)?{_SELF}\b",
        rf"(?m:^)\W{{0,6}}{_ARTICLE}{words}[\s-]+{_NOUN}\W{{0,4}}(?:[:\uff1a]|\s{_DASH}\s|(?m:$))",
        rf"\b(?:asked|told|instructed|required|prompted)\s+(?:me\s+)?to\s+(?:be|sound|write|reply|answer|give|provide|respond)"
        rf"\s+(?:in\s+)?{_ARTICLE}{_DEGREE}{words}\b",
        rf"\b(?:deliberately|intentionally|purposely|purposefully)\s+{words}\b",
        rf"\bprinciples?\s+(?:of|to)\s+(?:be(?:ing)?\s+)?{_ARTICLE}{words}\b",
    )
    return f"(?i)(?:{'|'.join(found)})"


def may_leak_pattern(adjectives: Iterable[str]) -> str:
    """A quick pattern that every text with a leak has: an adjective at its noun or adverb, or a word for orders."""
    words = either(adjectives)
    near = rf"{words}[\s-]+(?:\w+\s+)?{_SELF}|ly\s+{words}|asked|told|instructed|required|prompted|principle"
    return f"(?i)(?:{near})" if words else _NOTHING


def find_leak(text: str, adjectives: Iterable[str]) -> str | None:
    """The words with which `text` gives its principle away, as `leak_pattern` finds them; None when it does not."""
    words, lower = tuple(adjectives), text.lower()
    # Few replies hold an adjective at all, and looking for one is far sooner done than the pattern.
    if not any(word.lower() in lower for word in words):
        return None
    found = re.search(leak_pattern(words), text)
    return found[0].strip() if found else None


def strip_label(text: str, adjectives: Iterable[str]) -> str:
    """`text` without a label at its start that names one of `adjectives`; the very same text when it has none.

    Taken off: "Engaging response:", "Dull answer -", "**Helpful reply:**", "# Safe answer" on a line of its own, "Here
    is an accurate reply:", "[Dull answer]", and the same with good, bad, better, worse, chosen and rejected.
    """
    words = either((*adjectives, *_PLAIN_LABELS))
    label = re.match(
        rf"(?i)\s*(?:[#>]+\s*)?[*_\[(]*(?:(?:here(?:['\u2019]s|\s+is)|this\s+is)\s+)?{_ARTICLE}{_DEGREE}{words}\s+{_NOUN}"
        rf"[*_\])]*(?:\s*[:\uff1a]|\s+{_DASH}(?=\s)|(?<=[\])])|[ \t]*(?=\n))[*_]*\s*",
        text,
    )
    if label is None:
        return text
    # A label may open what is bold and leave its end behind.
    kept = "**" if label[0].count("**") % 2 else ""
    return kept + text[label.end() :]


def either(words: Iterable[str]) -> str:
    """A pattern of any of `words` as they are; the empty pattern without one."""
    escaped = sorted({re.escape(word.strip()) for word in words if word.strip()})
    return f"(?:{'|'.join(escaped)})" if escaped else ""
