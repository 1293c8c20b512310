"""The language of a text, told from its script and its commonest words: enough to compare two groups of texts."""

import polars as pl

_OPENING = 300
"""Characters that are looked at."""
_ENOUGH = 2
"""Common words from which a text in Latin letters is taken to be of a language."""

SCRIPTS = {
    "Latin": r"\p{Latin}",
    "Chinese": r"\p{Han}",
    "Japanese": r"[\p{Hiragana}\p{Katakana}]",
    "Korean": r"\p{Hangul}",
    "Cyrillic": r"\p{Cyrillic}",
    "Arabic": r"\p{Arabic}",
    "Hebrew": r"\p{Hebrew}",
    "Devanagari": r"\p{Devanagari}",
    "Thai": r"\p{Thai}",
    "Greek": r"\p{Greek}",
}
"""A letter of each script. Scripts that several languages share go by their own name."""
WORDS = {
    "English": "the and to that with you for this",
    "German": "der die das und ist nicht mit ein eine zu",
    "French": "le les et est des une que dans pour vous",
    "Spanish": "el los las es una que por para con del",
    "Portuguese": "os uma que com para não por em do da",
    "Italian": "il che di per una con della sono non è",
    "Dutch": "het een van en niet dat zijn met voor op",
}
"""Words that few texts of a language do without, and that other languages lack or use less."""


def language(text: pl.Expr) -> pl.Expr:
    """The language or script of each text; null where it cannot be told, as of code or of a single word."""
    return text.map_batches(_languages, return_dtype=pl.String, is_elementwise=True)


def _languages(texts: pl.Series) -> pl.Series:
    """Scripts are counted only where a text has more than ASCII, and other languages only where it is not English."""
    opening = texts.str.slice(0, _OPENING).str.to_lowercase()
    wide = (opening.str.len_bytes() != opening.str.len_chars()).arg_true()
    # What is ASCII is Latin, without a look for the letters of ten scripts.
    script = pl.repeat("Latin", len(opening), dtype=pl.String, eager=True).scatter(wide, _script(opening.gather(wide)))
    english = (_count(opening, "English") >= _ENOUGH) & (script == "Latin")
    found = pl.select(pl.when(english).then(pl.lit("English")).when(script != "Latin").then(script)).to_series()
    rest = ((script == "Latin") & ~english).arg_true()
    return found.scatter(rest, _spoken(opening.gather(rest)))


def _script(opening: pl.Series) -> pl.Series:
    """The script with the most letters. Japanese texts may hold more Han than kana, Chinese ones hold no kana."""
    letters = pl.DataFrame({name: opening.str.count_matches(letter) for name, letter in SCRIPTS.items()})
    kana = pl.col("Japanese") > 0
    most = _leader(list(SCRIPTS), 1)
    return letters.select(pl.when(kana & (most == "Chinese")).then(pl.lit("Japanese")).otherwise(most)).to_series()


def _spoken(opening: pl.Series) -> pl.Series:
    """The language with the most of its common words."""
    return (
        pl.DataFrame({name: _count(opening, name) for name in WORDS}).select(_leader(list(WORDS), _ENOUGH)).to_series()
    )


def _count(opening: pl.Series, name: str) -> pl.Series:
    return opening.str.count_matches(rf"\b(?:{WORDS[name].replace(' ', '|')})\b")


def _leader(names: list[str], least: int) -> pl.Expr:
    """The name of the column with the largest count, from `least` on; null where two share it."""
    most = pl.max_horizontal(names)
    shared = pl.sum_horizontal(pl.col(name) == most for name in names) > 1
    first = pl.coalesce(pl.when(pl.col(name) == most).then(pl.lit(name)) for name in names)
    return pl.when(~shared & (most >= least)).then(first)
