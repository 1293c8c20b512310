"""How many judge calls frugal judging saves, and whether it decides as judging in full does.

    python benchmarks/frugal.py                                      two made-up judges, at the paper's rate
    python benchmarks/frugal.py --votes judgments.parquet --judges A B     recorded votes, both orders of every pair

The made-up judges agree with each other and like the first slot a little; they are so strict that 110 of 226 pairs pass
both, as in the paper's funnel. Judging in full is every judge in both orders. By default 5 % of the pairs are judged so
even by frugal judges, to know how often a verdict turns.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import polars as pl

ROOT = Path(__file__).parent.parent
sys.path[0] = str(ROOT)

from factory.identity import digest
from filters.votes import RULES, decide, next_questions

JUDGES, ORDERS = ("gpt-4o", "llama-3-70b"), ("chosen_first", "rejected_first")
PASSING, PAIRS = 110 / 226, 50_000


def made_up() -> pl.DataFrame:
    """Votes of which PASSING of the pairs survive the default rule."""
    rng = np.random.default_rng(0)
    spread = rng.normal(0, 1, PAIRS)
    noise = rng.normal(0, 0.7, (len(JUDGES), len(ORDERS), PAIRS)) + np.array([0.2, -0.2])[None, :, None]
    dropped_below = (spread + noise).max(axis=1).min(axis=0)  # a judge drops a pair when both votes are for rejected
    liking = -np.quantile(dropped_below, 1 - PASSING)
    ids = [digest(number) for number in range(PAIRS)]
    return pl.concat(
        pl.DataFrame({"pair_id": ids, "judge": judge, "order": order, "vote": vote})
        for judge, of_judge in zip(JUDGES, spread + noise + liking > 0, strict=True)
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


def main() -> None:
    """Parse, measure every rule, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--votes", type=Path, help="Parquet with pair_id, judge, order, vote")
    parser.add_argument("--judges", nargs="+", help="of the file's judges, these, in this order")
    parser.add_argument("--full-share", type=float, default=0.05, help="share of pairs that are judged in full")
    asked = parser.parse_args()
    votes, judges = made_up() if asked.votes is None else pl.read_parquet(asked.votes), asked.judges or list(JUDGES)
    votes = votes.filter(pl.col("judge").is_in(judges)).select("pair_id", "judge", "order", "vote")
    print("| rule | pairs | pass | calls in full | frugal calls | share | decides alike |")
    print("|---|---|---|---|---|---|---|")
    for rule in RULES:
        print(measure(votes, judges, rule, asked.full_share))


if __name__ == "__main__":
    main()
