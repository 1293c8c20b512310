"""Confounds: what about a reply's form predicts that it was chosen, which a reward model would learn as quality.

Each trait is compared within pairs: how many have it in chosen alone, and how many in rejected alone. Intervals are
Tango's score intervals for the difference of two paired shares (Statistics in Medicine 17, 1998). They hold for all
traits together (Bonferroni), and pairs of one prompt count for less where they agree with each other (the counts are
divided by their design effect, after Rao and Scott, Biometrics 48, 1992).
"""

from collections.abc import Callable, Iterable, Mapping
from statistics import NormalDist
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from factory.errors import percent, span
from factory.files.streaming import compact
from filters.hash_draw import hash_draw_expr
from filters.languages import language
from filters.refusal import Refusal

SAMPLE = 20_000
"""Pairs that are looked at, drawn by their ids. No interval is wider than five points then, of independent pairs."""
_CONFIDENCE = 0.95
_COMMON, _LEAST = 20, 10
"""Values of a kind (first words, languages) that are compared: the commonest in all replies, if these many have one."""
_SIDES = ("chosen", "rejected")

Floats = NDArray[np.float64]
Traits = dict[str, Callable[[pl.Expr], pl.Expr]]


def _holds(pattern: str) -> Callable[[pl.Expr], pl.Expr]:
    return lambda text: text.str.contains(pattern)


TRAITS: Traits = {
    "markdown": _holds(r"\*\*[^*\s][^*\n]*\*\*|(?:\A|\n)#{1,6} |\n\|[^\n]*\|"),
    "list": _holds(r"(?:\A|\n)(?:[-*+•]|[0-9]{1,2}[.)])[ \t]"),
    "code": _holds("`[^`]"),
    "<think>": _holds(r"</?(?:think|thinking|thought|reasoning)>"),
    "template_marker": _holds(
        r"<\|[a-zA-Z_]+\|>|\[/?INST\]|<</?SYS>>|<(?:start|end)_of_turn>"
        r"|### (?:Instruction|Response)|\n\n(?:Human|Assistant):"
    ),
    "end_token": _holds(r"(?:</s>|<eos>|<end_of_turn>|<\|(?:endoftext|im_end|eot_id|end|eos)\|>)\s*\z"),
    "refusal": Refusal().refuses,
    "trailing_space": _holds(r"\s\z"),
}
"""What a reply may have, by name. Where patterns begin alike they begin with a literal, which makes looking fast."""
KINDS: Traits = {
    "language": language,
    "first_word": lambda text: text.str.slice(0, 40).str.extract(r"^\W*(\w+)"),
}
"""What a reply has one of; each common value is compared on its own."""
SCHEMA = {
    "name": pl.String(),
    "chosen": pl.Float64(),
    "rejected": pl.Float64(),
    "difference": pl.Float64(),
    "low": pl.Float64(),
    "high": pl.Float64(),
    "n": pl.Int64(),
}
_LENGTH = "length"
_COUNTS = ("has_chosen", "has_rejected", "only_chosen", "only_rejected", "squares")
"""Pairs that have a trait on a side, and on that side alone; and the sum of the prompts' squared surpluses."""
_TALLY = {"name": pl.String(), **dict.fromkeys(_COUNTS, pl.Int64())}


def confounds(pairs: pl.LazyFrame, sample: int | None = SAMPLE) -> pl.DataFrame:
    """A row per trait that some reply has: [name, chosen, rejected, difference, low, high, n], the largest first.

    `chosen` and `rejected` are the shares of those replies that have it (of `length`: that are the longer one), `low`
    and `high` the ends of the difference's interval. `pairs` needs the texts chosen and rejected; pairs that lack one
    are left out. With a column prompt_id, pairs of one prompt are not taken to be independent. Of more than `sample`
    pairs so many are looked at; `n` says how many were.
    """
    frame = _look(pairs if sample is None else _drawn(pairs, sample))
    tallies = pl.concat([_trait_tallies(frame), *(_kind_tallies(frame, kind) for kind in KINDS)])
    return _compared(tallies.filter(pl.col("has_chosen") + pl.col("has_rejected") > 0), frame.height)


def sentences(frame: pl.DataFrame) -> list[str]:
    """One sentence for each row of `confounds` that is beyond chance, the largest difference first."""
    return said(records(frame))


def records(frame: pl.DataFrame) -> list[dict[str, Any]]:
    """The rows of `confounds` for a JSON file, each with what it `says`: null within chance."""
    rows = frame.iter_rows(named=True)
    return [{**row, "says": _sentence(**row) if row["low"] > 0 or row["high"] < 0 else None} for row in rows]


def said(records: Iterable[Mapping[str, Any]]) -> list[str]:
    """The sentences of `records`."""
    return [row["says"] for row in records if row["says"]]


def _sentence(name: str, chosen: float, rejected: float, difference: float, low: float, high: float, n: int) -> str:
    shares = [_percent(share, abs(difference)) for share in (chosen, rejected)]
    points = f"a difference of {span(100 * low, 100 * high, '.1f')} points, told from {n:,} pairs"
    if name == _LENGTH:
        return f"the longer reply is chosen in {shares[0]} of pairs and rejected in {shares[1]} ({points})"
    kind, _, value = name.partition(": ")
    trait = f"{kind.replace('_', ' ')} “{value}”" if value else name.replace("_", " ")
    shown = f"`{trait}`" if trait.startswith("<") else trait
    return f"{shown} in {shares[0]} of chosen and {shares[1]} of rejected ({points})"


def _percent(share: float, difference: float) -> str:
    """With as many decimals as tell the two shares apart."""
    return percent(share, 0 if difference >= 0.02 else 1 if difference >= 0.002 else 2)


def _drawn(pairs: pl.LazyFrame, sample: int) -> pl.LazyFrame:
    """At most about `sample` pairs, the same whatever the order of rows.

    They are read at once: few by few, as they are drawn, looking takes twice as long.
    """
    schema = pairs.collect_schema()
    size = pairs.select(pl.len()).collect(engine="streaming").item()
    if size > sample:
        draw = hash_draw_expr("confounds") if "pair_id" in schema else pl.concat_str(_SIDES).hash()
        # A share of all hashes is a share of the pairs, about, and needs neither a sort nor the ids in memory.
        pairs = compact(pairs.filter(draw < int(sample / size * 2**64)))
    prompts = [name for name in ("prompt_id",) if name in schema]
    return pairs.select(*_SIDES, *prompts).collect(engine="streaming").lazy()


def _look(pairs: pl.LazyFrame) -> pl.DataFrame:
    """Per pair: the traits and kinds of both replies, and the prompt's number where it is known."""
    pairs = pairs.filter(pl.all_horizontal(pl.col(_SIDES).is_not_null()))
    looks = {**TRAITS, **KINDS}
    columns = [look(pl.col(side)).alias(f"{name}.{side}") for name, look in looks.items() for side in _SIDES]
    chars = [pl.col(side).str.len_chars() for side in _SIDES]
    longer = [(chars[0] > chars[1]).alias(f"{_LENGTH}.chosen"), (chars[0] < chars[1]).alias(f"{_LENGTH}.rejected")]
    prompt = pl.col("prompt_id") if "prompt_id" in pairs.collect_schema() else pl.int_range(pl.len())
    return pairs.select(prompt.alias("prompt"), *longer, *columns).collect()


def _trait_tallies(frame: pl.DataFrame) -> pl.DataFrame:
    """The counts of each trait."""
    names = [_LENGTH, *TRAITS]
    ahead = frame.select(
        "prompt",
        *((pl.col(f"{name}.chosen").cast(pl.Int64) - pl.col(f"{name}.rejected")).alias(name) for name in names),
    )
    sums = ahead.group_by("prompt").sum()
    rows = [
        {
            "name": name,
            "has_chosen": frame[f"{name}.chosen"].sum(),
            "has_rejected": frame[f"{name}.rejected"].sum(),
            "only_chosen": (ahead[name] > 0).sum(),
            "only_rejected": (ahead[name] < 0).sum(),
            "squares": (sums[name] ** 2).sum(),
        }
        for name in names
    ]
    return pl.DataFrame(rows, schema=_TALLY)


def _kind_tallies(frame: pl.DataFrame, kind: str) -> pl.DataFrame:
    """The counts of the common values of a kind."""
    sides = [f"{kind}.{side}" for side in _SIDES]
    # ne_missing: a value on one side and none on the other are different, where `!=` would be null.
    apart = pl.col(sides[0]).ne_missing(pl.col(sides[1]))
    long = pl.concat(
        frame.select("prompt", value=side, sign=pl.lit(sign), apart=apart).drop_nulls("value")
        for side, sign in zip(sides, (1, -1), strict=True)
    )
    chosen, alone = pl.col("sign") > 0, pl.col("apart")
    counts = long.group_by("value").agg(
        has_chosen=chosen.sum(),
        has_rejected=(~chosen).sum(),
        only_chosen=(chosen & alone).sum(),
        only_rejected=(~chosen & alone).sum(),
    )
    common = counts.with_columns(all=pl.col("has_chosen") + pl.col("has_rejected")).filter(pl.col("all") >= _LEAST)
    common = common.sort("all", "value", descending=[True, False]).head(_COMMON).drop("all")
    sums = long.filter("apart").group_by("value", "prompt").agg(pl.col("sign").sum())
    squares = sums.group_by("value").agg(squares=(pl.col("sign").cast(pl.Int64) ** 2).sum())
    named = common.join(squares, on="value", how="left").with_columns(pl.col("squares").fill_null(0))
    named = named.select(pl.concat_str(pl.lit(f"{kind}: "), "value").alias("name"), *_COUNTS)
    return named.select(pl.col(name).cast(dtype) for name, dtype in _TALLY.items())


def _compared(tallies: pl.DataFrame, n: int) -> pl.DataFrame:
    """The table of `confounds`, from counts of `n` pairs."""
    only = [tallies[f"only_{side}"].to_numpy().astype(float) for side in _SIDES]
    apart = only[0] + only[1]
    # Never below 1: prompts whose pairs happen to differ more than chance has it make no interval narrower.
    design = np.maximum(tallies["squares"].to_numpy() / np.maximum(apart, 1), 1)
    # Traits that no pair tells apart have no difference to be wrong about, and are no tests.
    tests = max(int((apart > 0).sum()), 1)
    z = NormalDist().inv_cdf(1 - (1 - _CONFIDENCE) / 2 / tests)
    low, high = (paired_limit(only[0] / design, only[1] / design, n / design, bound) for bound in (z, -z))
    shares = {side: tallies[f"has_{side}"] / max(n, 1) for side in _SIDES}
    table = pl.DataFrame({"name": tallies["name"], **shares, "low": low, "high": high})
    table = table.with_columns(difference=pl.col("chosen") - pl.col("rejected"), n=pl.lit(n))
    ordered = table.sort(pl.col("difference").abs(), "name", descending=[True, False])
    return ordered.select(pl.col(name).cast(dtype) for name, dtype in SCHEMA.items())


def paired_limit(first: Floats, second: Floats, n: Floats, z: float) -> Floats:
    """One end of Tango's interval for the difference of two paired shares, by bisection: where the score equals `z`.

    `first` and `second` count the pairs of `n` in which the one or the other alone holds; they need not be whole.
    """
    low, high = np.full(len(first), -1.0), np.full(len(first), 1.0)
    # Halved sixty times, 2 is below what a float tells apart.
    for _ in range(60):
        middle = (low + high) / 2
        linear = (2 * n - first + second) * middle - first - second
        root = np.sqrt(np.maximum(linear**2 + 8 * n * second * middle * (1 - middle), 0))
        spread = n * ((root - linear) / (2 * n) + middle * (1 - middle))
        score = (first - second - n * middle) / np.sqrt(np.maximum(spread, 1e-300))
        low, high = np.where(score > z, middle, low), np.where(score > z, high, middle)
    return np.asarray((low + high) / 2)
