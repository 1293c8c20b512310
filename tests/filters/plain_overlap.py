"""What a text shares with benchmark prompts by the plain way: every text is compared with every prompt."""

import polars as pl

from filters.overlap import FLAG, REASONS, REMOVE, SHARE, Hit
from filters.words import split_words


def plain_hits(texts, items, min_words):
    """What Overlap(items, min_words).hits gives."""
    parsed = [tuple(words) for words in split_words(pl.Series([item.text for item in items], dtype=pl.String))]
    for position, words in enumerate(split_words(texts)):
        found = [_compare(tuple(words), item, name.name, min_words) for item, name in zip(parsed, items, strict=True)]
        best = min((hit for hit in found if hit), key=lambda hit: hit.severity, default=None)
        if best is not None:
            yield position, best


def _compare(words, item, name, min_words):
    reason, shared = _reason(words, item, min_words)
    if not shared:
        return None
    return Hit(REASONS.index(reason) if reason else len(REASONS), reason, name, " ".join(shared))


def _reason(words, item, min_words):
    """The rule that removes a text for what it shares with an item, and the words; no words: nothing is shared."""
    if words == item:
        return "exact", item[:REMOVE]
    shared = _shared(words, item, REMOVE)
    if shared:
        return "13_gram", shared[0]
    if len(item) < min_words:
        return None, ()
    eights = _shared(words, item, SHARE)
    if 2 * len(eights) > len(set(_grams(item, SHARE))):
        return "8_grams", eights[0]
    if item and len(item) < REMOVE and _shared(words, item, len(item)):
        return "whole", item
    sevens = _shared(words, item, FLAG)
    return None, sevens[0] if sevens else ()


def _shared(words, item, size):
    held = set(_grams(words, size))
    return [gram for gram in dict.fromkeys(_grams(item, size)) if gram in held]


def _grams(words, size):
    return [words[start : start + size] for start in range(len(words) - size + 1)]
