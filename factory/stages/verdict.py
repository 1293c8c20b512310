"""Reading a judge's answer: which of two identifiers it names, from their log-probabilities or else from the text."""

import math
import re
from typing import NamedTuple

from factory.engines.base import Completion

IDENTIFIERS = ("m", "M")
"""Shown first, shown second. Told apart by case alone, so that neither reads as better."""

ENOUGH_MASS = 0.5
"""Below this the identifiers were unlikely first tokens, and a text that can be read says more than they do."""


class Verdict(NamedTuple):
    """What an answer says."""

    identifier: str | None
    """The preferred one; None where the answer cannot be read."""
    p_first: float | None = None
    """Probability of the first-shown one against the other, where the verdict comes from log-probabilities."""


def read_verdict(answer: Completion) -> Verdict:
    """The verdict in `answer`.

    The two identifiers' log-probabilities decide (softmax over the two) when they are there and hold most of the mass;
    then a text that can be read; then the log-probabilities all the same. A text that says what they say leaves them
    their probability: that of an engine which picks the likelier identifier does so always. A dead heat decides
    nothing; a number that is no log-probability (NaN, or above 0) counts as missing.
    """
    known = answer.choice_logprobs or {}
    from_text = Verdict(read_text(answer.text or "", cut=answer.finish == "length"))
    if not all(name in known for name in IDENTIFIERS):
        return from_text
    first, second = (known[name] for name in IDENTIFIERS)
    if first == second:
        return from_text
    # Bounded, as exp overflows a float from 710 on.
    p_first = 1 / (1 + math.exp(min(second - first, 700.0)))
    from_logprobs = Verdict(IDENTIFIERS[p_first < 0.5], p_first)
    likely = math.exp(first) + math.exp(second) >= ENOUGH_MASS
    contradicted = from_text.identifier not in (None, from_logprobs.identifier)
    return from_text if contradicted and not likely else from_logprobs


_SPECIAL = re.compile(r"<\|[^|<>]*\|>|</?s>")
_MARKUP = re.compile(r"[*_`\"“”«»\[\](){}<>#]")
# Not the m of I'm or m's, nor a letter within a word.
_NAMED = re.compile(r"(?<!\w)(?<!\w['’])([mM])(?!\w)(?!['’-]\w)")
_SENTENCES = re.compile(r"\n+|(?<=[.!?])\s+")
_TRIMMED = " \t'‘’.,:;!—–-"
_DOUBT = re.compile(
    r"\b(not|never|neither|nor|no|cannot|both|either|tie|equal\w*|worse|worst|unsure|unclear|depends|would have)\b"
    r"|n['’]t\b",
    re.IGNORECASE,
)
_NOUN = r"(?:reply|response|answer|model|output|option|identifier|assistant|verdict|choice|winner|preference|one)"
_BETTER = r"(?:(?:the|a|much|clearly|slightly|far)\s+)*(?:better|best|preferred|superior|stronger)"
# The identifiers differ in case alone, and the words around them may be of any: hence (?-i:…) within IGNORECASE.
_PHRASES = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        rf"^(?:the\s+)?{_NOUN}\s+(?-i:(?P<id>[mM]))$",
        rf"^(?:the\s+)?{_NOUN}\s*(?::|=|\bis\b:?)\s*(?-i:(?P<id>[mM]))$",
        rf"(?:^|[\s,:]){_BETTER}(?:\s+{_NOUN})?\s*(?::|=|\bis\b:?)\s*(?:{_NOUN}\s+)?(?-i:(?P<id>[mM]))$",
        rf"\bI\s+(?:\w+\s+)?(?:choose|prefer|pick|select|favou?r)\s+(?:the\s+)?(?:{_NOUN}\s+)?(?-i:(?P<id>[mM]))$",
        rf"^(?:{_NOUN}\s+)?(?-i:(?P<id>[mM]))\s+is\s+{_BETTER}\b",
        rf"^(?:{_NOUN}\s+)?(?-i:(?P<id>[mM]))(?:,|:|\s*[—–-])?\s+(?:because|since|as)\b",
    )
)


def read_text(text: str, cut: bool = False) -> str | None:
    """The one identifier that `text` names as the better, or None where there is any doubt.

    Read are an identifier alone, quoted, in bold, with a full stop, with an explanation after or before it, and plain
    sentences such as "Answer: M" or "The best model is m". Not read are answers that name both identifiers, that deny
    or hedge in the sentence of the verdict, and thoughts that never ended. `cut`: the answer ran into the length
    limit, so that its last word may be the beginning of another.
    """
    if "<think>" in text or "</think>" in text:
        # What is thought is no answer, however often it names a reply; only what follows the last thought is.
        _, ended, text = text.rpartition("</think>")
        if not ended:
            return None
    plain = _MARKUP.sub("", _SPECIAL.sub(" ", text)).strip()
    # Where both are named, one is weighed against the other, and which is meant nobody can be sure of.
    if len(set(_NAMED.findall(plain))) != 1:
        return None
    sentences = [part.strip(_TRIMMED) for part in _SENTENCES.split(plain)]
    sentences = [part for part in sentences if part]
    # A verdict opens an answer or closes it; in between it is weighed, not given.
    for position in dict.fromkeys((0, len(sentences) - 1)):
        sentence, unfinished = sentences[position], cut and position == len(sentences) - 1
        if sentence in IDENTIFIERS and (len(sentences) == 1 or not unfinished):
            return sentence
        found = None if _DOUBT.search(sentence) else _phrase(sentence)
        if found is not None and not (unfinished and found.end("id") == len(sentence)):
            return found["id"]
    return None


def _phrase(sentence: str) -> re.Match[str] | None:
    return next((found for phrase in _PHRASES if (found := phrase.search(sentence))), None)
