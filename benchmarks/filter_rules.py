"""What each rule of `judge_agrees` leaves of a set of pairs with wrong labels: how many, and how many of them right.

    python benchmarks/filter_rules.py                                           four made-up judges
    python benchmarks/filter_rules.py --verdicts FILE.parquet --pairs FILE.parquet    recorded ones

Verdicts are as in benchmarks/audit.py; the pairs file has pair_id, response_1, response_2 and label of the same pairs.
A set of pairs is made by calling the better reply chosen, but the other one so and so often. The rule decides from both
orders of every judge of the panel; in the last two columns the length balance follows it. "Agreement" is what the
judges themselves would say of the kept pairs: the share that all of them call right. "Estimate" is what
factory.estimate says of the kept pairs with 50 labels of people (mean ends), and how often that interval holds.
"""

import argparse
import sys
from fractions import Fraction
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

ROOT = Path(__file__).parent.parent
sys.path[0] = str(ROOT)

from factory.identity import digest
from factory.schema import ORDERS
from factory.statistics.estimate import fit
from filters.balancing.items import BalanceItems
from filters.balancing.pairs import balance
from filters.length_balance import LengthBalance
from filters.votes import RULES, decide

JUDGES = ("GPT-4", "PaLM2", "LLaMA2", "ChatGPT")
FLIPS = (0.1, 0.2, 0.3)
LABELS = 50
GAP = Fraction(str(LengthBalance().max_mean_gap))
Votes = NDArray[np.float64]


class Recorded(NamedTuple):
    """Pairs whose better reply is known."""

    ids: list[str]
    votes: dict[str, Votes]
    """By judge, shape [pairs, orders]: 1 for the better reply, 0 for the other one, NaN unread."""
    better: NDArray[np.int64]
    """Characters of the better reply."""
    other: NDArray[np.int64]


class Left(NamedTuple):
    """What a rule left of one set of pairs."""

    kept: float
    right: float
    agreement: float
    low: float
    high: float
    balanced: float
    balanced_right: float


def recorded(verdicts: Path, pairs: Path, strategy: str) -> Recorded:
    """From files; pairs that every judge was asked about."""
    table = pl.read_parquet(verdicts).filter(pl.col("strategy") == strategy, pl.col("judge").is_in(JUDGES))
    first = pl.col("label") == 1
    chars = [pl.col(f"response_{n}").str.len_chars().cast(pl.Int64) for n in (1, 2)]
    sizes = pl.read_parquet(pairs).select(
        "pair_id",
        better=pl.when(first).then(chars[0]).otherwise(chars[1]),
        other=pl.when(first).then(chars[1]).otherwise(chars[0]),
    )
    known = table.join(sizes, on="pair_id").filter(pl.col("judge").n_unique().over("pair_id") == len(JUDGES))
    known = known.sort("judge", "pair_id")
    said = [
        (pl.col(f"verdict_{order}") == pl.col("label").cast(pl.String)).cast(pl.Float64) for order in ("orig", "swap")
    ]
    votes = {
        name: known.filter(pl.col("judge") == name).select(said).fill_null(float("nan")).to_numpy() for name in JUDGES
    }
    one = known.filter(pl.col("judge") == JUDGES[0])
    return Recorded(one["pair_id"].to_list(), votes, one["better"].to_numpy(), one["other"].to_numpy())


def made_up(pairs: int = 734) -> Recorded:
    """Judges of 76, 65, 50 and 43 % whose errors go together and lean to the longer reply."""
    rng = np.random.default_rng(0)
    better, other = (np.exp(rng.normal(6, 0.6, pairs)).astype(np.int64) for _ in range(2))
    hard = rng.normal(size=pairs) - 0.4 * np.sign(better - other)
    votes = {}
    for name, share in zip(JUDGES, (0.76, 0.65, 0.5, 0.43), strict=True):
        sure = (0.7 * hard + 0.55 * rng.normal(size=pairs))[:, None] + 0.45 * rng.normal(size=(pairs, 2))
        votes[name] = (sure < np.quantile(sure, share)).astype(float)
    return Recorded([digest(number) for number in range(pairs)], votes, better, other)


def judgments(known: Recorded, right: NDArray[np.bool_]) -> pl.DataFrame:
    """Votes on a set of pairs in which the better reply is chosen where `right`."""
    tables = []
    for judge, votes in known.votes.items():
        for place, order in enumerate(ORDERS):
            chosen = np.where(right, votes[:, place], 1 - votes[:, place])
            vote = pl.Series(["rejected", "chosen", None]).gather(
                np.where(np.isnan(chosen), 2, chosen).astype(np.int64)
            )
            tables.append(pl.DataFrame({"pair_id": known.ids, "judge": judge, "order": order, "vote": vote}))
    return pl.concat(tables)


def left(
    known: Recorded, panel: tuple[str, ...], rule: str, right: NDArray[np.bool_], votes: pl.DataFrame, seed: int
) -> Left:
    """What one rule leaves, and what is said of it."""
    reasons = decide(votes.filter(pl.col("judge").is_in(panel)), panel, rule).collect()
    order = pl.DataFrame({"pair_id": known.ids}).join(reasons, on="pair_id", how="left", maintain_order="left")
    kept = np.flatnonzero(order["reason"].is_null().to_numpy())
    truth, rng = right[kept], np.random.default_rng(seed)
    scores = np.stack([np.where(right[:, None], known.votes[name], 1 - known.votes[name]) for name in panel], axis=1)
    said = np.nan_to_num(scores[kept], nan=0.5).mean(axis=2)
    labels = np.full(len(kept), np.nan)
    chosen = rng.permutation(len(kept))[:LABELS]
    labels[chosen] = truth[chosen]
    found = fit(said, labels)
    sizes = [np.where(right, one, two)[kept] for one, two in ((known.better, known.other), (known.other, known.better))]
    shuffled = rng.permutation(len(kept))
    even = balance(BalanceItems.of(sizes[0][shuffled], sizes[1][shuffled], GAP))
    fair = truth[shuffled][np.asarray(even)]
    agreed = (said == 1).all(axis=1).mean()
    return Left(
        len(kept) / len(right), truth.mean(), agreed, found.low, found.high, len(fair) / len(right), fair.mean()
    )


def rules() -> dict[str, str]:
    """The rules that decide differently, by the names of those that decide alike."""
    alike: dict[str, list[str]] = {}
    for name, rule in RULES.items():
        alike.setdefault(rule.second_after, []).append(name)
    return {", ".join(names): names[0] for names in alike.values()}


def panels() -> list[tuple[str, ...]]:
    """Each judge, every two with the best one, and the best three."""
    pairs = [two for two in combinations(JUDGES, 2) if JUDGES[0] in two]
    return [*((name,) for name in JUDGES), *pairs, JUDGES[:3]]


def main() -> None:
    """Parse, and print a table for each share of wrong labels."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--verdicts", type=Path, help="Parquet of recorded verdicts")
    parser.add_argument("--pairs", type=Path, help="Parquet of the pairs they are about")
    parser.add_argument("--strategy", default="Vanilla", help="of the file's ways of asking, this one")
    parser.add_argument("--draws", type=int, default=40, help="sets of pairs for each share of wrong labels")
    asked = parser.parse_args()
    given = asked.verdicts is not None and asked.pairs is not None
    known = recorded(asked.verdicts, asked.pairs, asked.strategy) if given else made_up()
    for name, votes in known.votes.items():
        print(f"{name}: {np.nanmean(votes):.1%} of its votes go to the better reply")
    for flip in FLIPS:
        print(f"\n{len(known.ids):,} pairs, {flip:.0%} of the labels wrong:\n")
        print("| judges | rule | kept | right | agreement | estimate, 50 labels | holds | balanced: kept | right |")
        print("|---|---|---|---|---|---|---|---|---|")
        rng = np.random.default_rng(round(100 * flip))
        sets = [rng.random(len(known.ids)) >= flip for _ in range(asked.draws)]
        votes = [judgments(known, right) for right in sets]
        for panel in panels():
            for names, rule in rules().items():
                print(row(known, panel, names, rule, sets, votes), flush=True)


def row(
    known: Recorded,
    panel: tuple[str, ...],
    names: str,
    rule: str,
    sets: list[NDArray[np.bool_]],
    votes: list[pl.DataFrame],
) -> str:
    """Means over the sets, and how often the estimate's interval held the share of right labels."""
    made = [
        left(known, panel, rule, right, said, seed) for seed, (right, said) in enumerate(zip(sets, votes, strict=True))
    ]
    mean = Left(*np.mean(np.array(made), axis=0))
    holds = np.mean([one.low - 1e-9 <= one.right <= one.high + 1e-9 for one in made])
    said = (
        f"{mean.kept:.0%} | {mean.right:.1%} | {mean.agreement:.0%} | {mean.low:.0%} to {mean.high:.0%} | {holds:.0%}"
    )
    return f"| {', '.join(panel)} | {names} | {said} | {mean.balanced:.0%} | {mean.balanced_right:.1%} |"


if __name__ == "__main__":
    main()
