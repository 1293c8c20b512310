"""How many judge calls frugal judging saves, and whether it decides as judging in full does.

    python benchmarks/frugal.py                                      two made-up judges, at the paper's rate
    python benchmarks/frugal.py --votes judgments.parquet --judges A B     recorded votes, both orders of every pair
    python benchmarks/frugal.py --bound                              the fewest calls that any way of asking could need

The made-up judges agree with each other and like the first slot a little; they are so strict that 110 of 226 pairs pass
both, as in the paper's funnel. Judging in full is every judge in both orders. By default 5 % of the pairs are judged so
even by frugal judges, to know how often a verdict turns. The bound is of the policy that knows all rates of these
judges and what each vote says of the others, and asks on only while that is worth a call: by dynamic programming.
"""

import argparse
import sys
from itertools import combinations
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

ROOT = Path(__file__).parent.parent
sys.path[0] = str(ROOT)

from factory.identity import digest
from filters.votes import RULES, decide, next_questions

JUDGES, ORDERS = ("gpt-4o", "llama-3-70b"), ("chosen_first", "rejected_first")
PASSING, PAIRS = 110 / 226, 50_000


def liking(pairs: int) -> NDArray[np.float64]:
    """[judge, order, pair]: how far each judge likes chosen, above 0 a vote for it; PASSING survive the default."""
    rng = np.random.default_rng(0)
    spread = rng.normal(0, 1, pairs)
    noise = rng.normal(0, 0.7, (len(JUDGES), len(ORDERS), pairs)) + np.array([0.2, -0.2])[None, :, None]
    dropped_below = (spread + noise).max(axis=1).min(axis=0)  # a judge drops a pair when both votes are for rejected
    likes: NDArray[np.float64] = spread + noise - np.quantile(dropped_below, 1 - PASSING)
    return likes


def made_up() -> pl.DataFrame:
    """Votes of which PASSING of the pairs survive the default rule."""
    ids = [digest(number) for number in range(PAIRS)]
    return pl.concat(
        pl.DataFrame({"pair_id": ids, "judge": judge, "order": order, "vote": vote})
        for judge, of_judge in zip(JUDGES, liking(PAIRS) > 0, strict=True)
        for order, liked in zip(ORDERS, of_judge, strict=True)
        for vote in [np.where(liked, "chosen", "rejected")]
    )


def measure(votes: pl.DataFrame, judges: list[str], rule: str, full_share: float) -> str:
    """A row of the table."""
    ids = sorted(votes["pair_id"].unique())
    key = ["pair_id", "judge", "order"]
    asked = votes.clear()
    while len(questions := next_questions(asked, ids, judges, rule, full_share)):
        asked = pl.concat([asked, questions.select(key).join(votes, on=key, how="inner").select(votes.columns)])
    frugal, full = (decide(some, judges, rule).sort("pair_id").collect() for some in (asked, votes))
    passing = full["reason"].null_count() / len(ids)
    same = "yes" if frugal.equals(full) else "NO"
    shares = f"{len(ids):,} | {passing:.1%} | {len(votes):,} | {len(asked):,} | {len(asked) / len(votes):.1%}"
    return f"| {rule} | {shares} | {same} |"


def fewest(likes: NDArray[np.float64], grades: int, price: float) -> tuple[float, float]:
    """Share of all calls, and of other decisions than in full, of the policy that minimises calls + price x others.

    A vote is seen in `grades` steps, 2 being the vote alone and more its probability as well. A state is what each of
    the four votes was, or that it was not asked (the last index); those with fewer votes left to ask are solved first.
    """
    seen, half = np.empty((4, likes.shape[-1]), dtype=int), np.linspace(0, 1, grades // 2 + 1)[1:-1]
    for place, row in enumerate(likes.reshape(4, -1)):
        seen[place] = np.digitize(row, [*np.quantile(row[row <= 0], half), 1e-12, *np.quantile(row[row > 0], half)])
    drops = (likes <= 0).all(axis=1).any(axis=0)
    pairs, dropped = np.zeros((grades + 1,) * 4), np.zeros((grades + 1,) * 4)
    np.add.at(pairs, tuple(seen), 1 / len(drops))
    np.add.at(dropped, tuple(seen[:, drops]), 1 / len(drops))
    for table in (pairs, dropped):
        for vote in range(4):
            np.moveaxis(table, vote, 0)[grades] = np.moveaxis(table, vote, 0)[:grades].sum(axis=0)
    calls, others = np.zeros_like(pairs), np.minimum(dropped, pairs - dropped)
    for left in (left for count in range(1, 5) for left in combinations(range(4), count)):
        at = tuple(grades if vote in left else slice(grades) for vote in range(4))
        best = calls[at], others[at]
        for vote in left:
            after = tuple(slice(grades) if one == vote else at[one] for one in range(4))
            axis = sum(one not in left for one in range(vote))
            asking = pairs[at] + calls[after].sum(axis=axis), others[after].sum(axis=axis)
            better = asking[0] + price * asking[1] < best[0] + price * best[1]
            best = np.where(better, asking[0], best[0]), np.where(better, asking[1], best[1])
        calls[at], others[at] = best
    return float(calls[(grades,) * 4]) / 4, float(others[(grades,) * 4])


def bound() -> None:
    """Print what the best policy could do, at several prices of a decision that differs."""
    likes = liking(1_000_000)
    print("| a vote is seen as | calls | other decisions |\n|---|---|---|")
    for grades, name in ((2, "the vote alone"), (16, "its probability, in 16 steps")):
        found = [fewest(likes, grades, price) for price in (1e9, 40, 20, 12, 8, 6.5)]
        for calls, others in sorted(set(found), reverse=True):
            print(f"| {name} | {calls:.1%} | {others:.2%} |")


def main() -> None:
    """Parse, measure every rule, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--votes", type=Path, help="Parquet with pair_id, judge, order, vote")
    parser.add_argument("--judges", nargs="+", help="of the file's judges, these, in this order")
    parser.add_argument("--full-share", type=float, default=0.05, help="share of pairs that are judged in full")
    parser.add_argument("--bound", action="store_true", help="the fewest calls that any policy could need")
    asked = parser.parse_args()
    if asked.bound:
        bound()
        return
    votes, judges = made_up() if asked.votes is None else pl.read_parquet(asked.votes), asked.judges or list(JUDGES)
    votes = votes.filter(pl.col("judge").is_in(judges)).select("pair_id", "judge", "order", "vote")
    print("| rule | pairs | pass | calls in full | frugal calls | share | decides alike |")
    print("|---|---|---|---|---|---|---|")
    for rule in RULES:
        print(measure(votes, judges, rule, asked.full_share))


if __name__ == "__main__":
    main()
