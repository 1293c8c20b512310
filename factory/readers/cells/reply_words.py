"""Words that name one of two replies, or neither: `model_a`, `[[B]]`, `A>B`, `Response 1 is better`, `primera`."""

import math
import re

_WHAT = (
    r"(?:model|response|answer|assistant|output|completion|conversation|reply|option|summary|candidate|text|choice"
    r"|modelo|respuesta|opción|resposta|modèle|réponse|modell|antwort|risposta|modello|antwoord"
    r"|модель|ответ|模型|回答|回复|回應|答案|选项|アシスタント|モデル|모델|응답|답변)"
)
_CALLED = re.compile(rf"^(?:(?:winner|preferred|prefers?|chosen|selected)[: _]+)?(?:the )?(?:{_WHAT}[_ -]?)?(?=.)")
_HOW_MUCH = re.compile(
    r"[ _-](?:is[ _-])?(?:(?:slightly|somewhat|clearly|significantly|much|far)[ _-])?"
    r"(?:better|preferred|wins?|won)(?:[ _-]than[ _-].*)?$|更好$"
)
"""What follows the name of a reply in words such as `A-is-clearly-better`."""
_FOLLOWING = re.compile(rf"[_ -]{_WHAT}$")
"""What a reply is called behind its place, as in `first response`."""
_FIRST = frozenset(
    {
        *("a", "first", "1st", "left", "primera", "primero", "primeira", "primeiro"),
        *("première", "premier", "erste", "erster", "primo", "eerste", "первый", "первая"),
        *("第一个", "第一個", "第一", "左", "前者", "첫번째", "왼쪽"),
    }
)
_SECOND = frozenset(
    {
        *("b", "second", "2nd", "right", "segunda", "segundo", "deuxième", "seconde"),
        *("zweite", "zweiter", "secondo", "tweede", "второй", "вторая"),
        *("第二个", "第二個", "第二", "右", "后者", "後者", "두번째", "오른쪽"),
    }
)
_TIES = frozenset(
    {
        *("tie", "ties", "tied", "tie (bothbad)", "draw", "same", "equal", "equally good", "equally bad"),
        "tie (inconsistent)",
        *("both", "both_bad", "bothbad", "both bad", "both_good", "bothgood", "both good", "about the same"),
        *("neither", "none", "no preference", "c", "a=b", "b=a"),
        *(
            "empate",
            "égalité",
            "unentschieden",
            "pareggio",
            "gelijkspel",
            "ничья",
            "平局",
            "平手",
            "引き分け",
            "무승부",
        ),
    }
)
MARK_WORDS = {
    **dict.fromkeys(("true", "yes", "good", "desirable", "chosen", "positive", "preferred"), 1.0),
    **dict.fromkeys(("false", "no", "bad", "undesirable", "rejected", "negative", "dispreferred"), 0.0),
    **dict.fromkeys(("up", "thumbs_up", "thumbs up", "thumbsup", "upvote", "like", "👍"), 1.0),
    **dict.fromkeys(("down", "thumbs_down", "thumbs down", "thumbsdown", "downvote", "dislike", "👎"), 0.0),
}
"""Words that say of one reply that it is good, or bad."""
_MARKS = "[](){}\"'`* "


def number_in(text: str) -> float | None:
    """The number that a text is, be it called a reply's: 1 of `Response 1`; None also of NaN, which says nothing."""
    try:
        number = float(_bare(text))
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def names_reply(text: str) -> bool:
    """Whether a text is a reply's letter or place, as `a`, `2`, `model_b` and `response 1`."""
    return bool(in_words(text)) or number_in(text) in (0, 1, 2)


def in_words(text: str) -> int | None:
    """What a word in small letters, such as `model_a`, `[[b]]`, `a>b` or `tie`, says: 1 the first, -1 the second, 0."""
    word = _unmarked(text)
    if word in _TIES or text in _TIES or word.replace(" ", "") in _TIES:
        return 0
    # A>B, A>>B and A=B, as judges are asked to answer.
    sides = re.split(r"[><≻=]+", word.replace(" ", ""))
    if len(sides) == 2 and re.search("[><≻]", word):
        one, other = (in_words(side) if number_in(side) is None else _place(side) for side in sides)
        if one is None or other is None or one * other != -1:
            return 0 if one is not None and one == other else None
        return one if re.search("[>≻]", word) else -one
    bare = _bare(text)
    return 1 if bare in _FIRST else -1 if bare in _SECOND else None


def _bare(text: str) -> str:
    """A word without what it is called, and how much better it is: `1` of `Response 1 is much better`."""
    word = _HOW_MUCH.sub("", _unmarked(text))
    return _unmarked(_FOLLOWING.sub("", _CALLED.sub("", word)))


def _unmarked(text: str) -> str:
    # Not at its head: .5 is a number.
    return text.strip(_MARKS).rstrip(".:")


def _place(digit: str) -> int | None:
    return {"1": 1, "2": -1}.get(digit)
