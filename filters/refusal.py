"""`refusal`: replies that decline to answer."""

from collections.abc import Mapping
from typing import ClassVar, Literal

import polars as pl
from pydantic import Field, field_validator

from filters.base import Filter, among, sided

_CANNOT = r"(?:can(?:no|['’]?)t|can not|won['’]?t|will not|(?:am|are|['’]m|['’]re) (?:unable|not able)|must decline)"
_DO = (
    r"(?:help|assist|provide|answer|comply|fulfil|fulfill|support|engage|create|generate|write|discuss|share|offer|give"
    r"|do (?:that|this|so|it)|to)"
)
PATTERNS = (
    rf"(?:i|we)(?:['’]m|['’]re| am| are)(?: \w+)? (?:sorry|afraid)\b[^.!?\n]{{0,80}}?\b{_CANNOT}",
    rf"(?:sorry|(?:my )?apologies|i apologi[sz]e)\b[^.!?\n]{{0,40}}[,.;:!]? (?:but )?(?:i|we) ?{_CANNOT}",
    rf"(?:unfortunately,? |regrettably,? )?i ?{_CANNOT}(?: {_DO}\b|[.,])",
    r"(?:unfortunately,? |regrettably,? )?i (?:must|have to|need to)(?: \w+)? (?:decline|refuse)\b",
    r"as an? (?:ai|artificial intelligence|(?:large )?language model)\b[^.!?\n]{0,80}?\bi ?"
    rf"(?:{_CANNOT}|do(?: not|n['’]?t))",
    r"i (?:do not|don['’]?t) feel comfortable\b",
    r"(?:no|hello|hi|hey|i understand|i appreciate|thank you|thanks)\b[^?\n]{0,80}?[,.!] (?:but |however,? |and )?"
    rf"(?:i['’]m afraid )?i ?{_CANNOT} (?:to )?{_DO}\b",
)
"""How English refusals begin, lower case, our own list; looked for in the opening of a reply only."""
_SOME = r"[^.!?。！？\n]{0,60}?"
ELSEWHERE = (
    # Spanish, Portuguese, Italian, French
    rf"(?:lo siento|disculpa|disculpe|perdón|lamento|lamentablemente)\b{_SOME}\bno (?:puedo|podemos)\b",
    r"no puedo (?:ayudar|asistir|proporcionar|responder|cumplir|ofrecer|generar|participar)",
    rf"(?:me )?(?:desculpe|desculpa|lamento|sinto muito|infelizmente)\b{_SOME}\bnão (?:posso|consigo|podemos)\b",
    r"não posso (?:ajudar|fornecer|responder|atender|gerar|participar)",
    rf"(?:mi dispiace|purtroppo)\b{_SOME}\bnon posso\b",
    r"non posso (?:aiutar|fornir|risponder|soddisfar)",
    rf"(?:(?:je suis|nous sommes) )?(?:vraiment )?(?:désolée?s?|malheureusement)\b{_SOME}"
    r"\bje ne (?:peux|puis|suis pas en mesure)\b",
    r"je ne (?:peux|puis) pas (?:vous |t['’])?(?:aider|répondre|fournir|accéder|satisfaire)",
    # German, Dutch
    rf"(?:es )?(?:tut mir (?:sehr )?leid|entschuldigung|leider)\b{_SOME}\b(?:ich kann|kann ich)\b{_SOME}"
    r"\b(?:nicht|keine?n?)\b",
    rf"(?:het spijt me|helaas)\b{_SOME}\b(?:ik kan|kan ik)\b{_SOME}\b(?:niet|geen)\b",
    # Russian, Polish, Turkish, Arabic
    rf"(?:извините|простите|к сожалению|мне (?:очень )?жаль)\b{_SOME}\bя не (?:могу|буду)\b",
    r"я не могу (?:помочь|предоставить|ответить|выполнить)",
    rf"(?:przykro mi|przepraszam|niestety)\b{_SOME}\bnie mogę\b",
    rf"(?:üzgünüm|maalesef|özür dilerim)\b{_SOME}(?:olamam|olamıyorum|yapamam|edemem|veremem|sağlayamam)",
    rf"(?:عذر[اًا]+|آسف|أعتذر|للأسف){_SOME}لا (?:أستطيع|يمكنني)",
    # Chinese, Japanese, Korean
    rf"(?:很|非常)?(?:抱歉|对不起|對不起|不好意思){_SOME}(?:无法|無法|不能|没办法|沒辦法)",
    r"作为[^。！？\n]{2,20}，?我?(?:无法|不能)",
    r"我(?:无法|無法|不能)(?:帮助|幫助|提供|回答|协助|協助|满足|滿足)",
    rf"(?:大変)?(?:申し訳(?:ありません|ございません)|すみません|恐れ入りますが|ごめんなさい){_SOME}(?:ません|かねます)",
    rf"(?:죄송합니다|죄송하지만|미안하지만){_SOME}(?:수 없|어렵습니다)",
)
"""How refusals begin in other languages that assistants are much spoken to in."""


class Refusal(Filter):
    """Drops a pair when one of `replies` opens by declining to answer, in English or thirteen other languages."""

    name: ClassVar[str] = "refusal"
    reasons: ClassVar[Mapping[str, str]] = sided("refusal", "opens by declining to answer")

    replies: tuple[Literal["chosen", "rejected"], ...] = ("chosen", "rejected")
    """Replies looked at; a set that teaches when to refuse looks at none or at `rejected` alone."""
    patterns: tuple[str, ...] = ()
    """Further regular expressions (Rust syntax, lower case) for how a refusal begins."""
    opening: int = Field(200, ge=1)
    """Characters of the reply that are looked at."""

    @field_validator("patterns")
    @classmethod
    def _compile(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for pattern in value:
            # Tried, since polars' engine is Rust's: what Python compiles, such as a look-ahead, it may refuse.
            try:
                pl.Series([""]).str.contains(pattern)
            except pl.exceptions.ComputeError as error:
                raise ValueError(f"{pattern!r} is no regular expression: {error}") from None
        return value

    def measures(self) -> dict[str, pl.Expr]:
        """Whether each reply opens with a refusal."""
        return {f"refuses_{reply}": self.refuses(pl.col(reply)) for reply in self.replies}

    def refuses(self, text: pl.Expr) -> pl.Expr:
        """Whether a text opens with a refusal."""
        pattern = r"^\W*(?:" + "|".join(f"(?:{one})" for one in (*PATTERNS, *ELSEWHERE, *self.patterns)) + ")"
        return text.str.slice(0, self.opening).str.to_lowercase().str.contains(pattern)

    def reason(self, rows: pl.LazyFrame) -> pl.LazyFrame:
        """`chosen_refusal`, `rejected_refusal` or `both_refusal`."""
        return rows.with_columns(reason=among({one: pl.col(f"refuses_{one}") for one in self.replies}, "refusal"))
