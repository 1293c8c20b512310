"""What recorded verdicts say of judges: which follow the slot, what naming criteria does, what ties of ratings are.

    python benchmarks/judges.py FILE.parquet

The file has the columns pair_id, judge, strategy, label, verdict_orig, verdict_swap, score_1, score_2: which of two
replies (1 or 2) is better, and which one a judge preferred shown them as they are and swapped, as LLMBar's judgments
come. Right is a verdict for the better reply in both orders, unsure one that turns with the order.
"""

import sys
from pathlib import Path
from statistics import stdev

import polars as pl

ROOT = Path(__file__).parent.parent
sys.path[0] = str(ROOT)

from factory.stages.health import Health, health

STEPS = (("Vanilla_NoRules", "Vanilla"), ("Vanilla", "Metrics"))
"""From no criteria to general ones, and from these to ones made for each instruction."""


def votes(rows: pl.DataFrame) -> pl.DataFrame:
    """Judgments of pairs whose first reply is called chosen."""
    orders = (("chosen_first", "verdict_orig"), ("rejected_first", "verdict_swap"))
    to = {"1": "chosen", "2": "rejected"}
    return pl.concat(
        rows.select(
            "pair_id",
            judge=pl.col("judge") + " " + pl.col("strategy"),
            order=pl.lit(order),
            vote=pl.col(column).cast(pl.String).replace_strict(to, default=None),
        )
        for order, column in orders
    )


def slots(rows: pl.DataFrame) -> None:
    """How many judges follow the slot, and how often their verdicts turn."""
    found = health(votes(rows))
    groups: dict[str, list[Health]] = {"follow the slot": [], "lean to one": [], "lean to none": []}
    for judge in found:
        name = "follow the slot" if judge.follows_slot else "lean to one" if judge.leans else "lean to none"
        groups[name].append(judge)
    print(f"{len(found)} judges (model and prompt)")
    for name, judges in groups.items():
        turned = [judge.flips / judge.both_orders for judge in judges]
        spread = f"{min(turned):.0%} to {max(turned):.0%}" if turned else "–"
        print(f"  {len(judges):>2} {name}; their verdicts turn with the order on {spread} of pairs")


def criteria(rows: pl.DataFrame) -> None:
    """Share of right verdicts with and without criteria, on the same pairs, with a 95 % interval of the difference."""
    right = pl.all_horizontal(pl.col("verdict_orig", "verdict_swap").cast(pl.String) == pl.col("label").cast(pl.String))
    ruled = rows.with_columns(right=right.fill_null(False).cast(pl.Float64))
    for before, after in STEPS:
        for judge in sorted(rows["judge"].unique()):
            one, two = (ruled.filter(judge=judge, strategy=name) for name in (before, after))
            both = one.join(two, on="pair_id", suffix="_after")
            if both.height:
                gain = both["right_after"] - both["right"]
                spread = 1.96 * (stdev(gain) if both.height > 1 else 0.0) / both.height**0.5
                means = f"{both['right'].mean():.3f} to {both['right_after'].mean():.3f}"
                print(f"{before} to {after}, {judge}: {means}, {gain.mean():+.3f} ± {spread:.3f} ({both.height} pairs)")


def ties(rows: pl.DataFrame) -> None:
    """Whether equal ratings are what two orders would call unsure."""
    rated = rows.filter(pl.col("score_1").is_not_null(), pl.col("score_2").is_not_null())
    tie, unsure = pl.col("score_1") == pl.col("score_2"), pl.col("verdict_orig") != pl.col("verdict_swap")
    counted = rated.group_by("judge", "strategy").agg(
        n=pl.len(),
        tie=tie.mean(),
        unsure_of_ties=unsure.filter(tie).mean(),
        unsure_of_others=unsure.filter(~tie).mean(),
    )
    for judge, strategy, n, share, of_ties, of_others in counted.sort("judge", "strategy").iter_rows():
        print(
            f"{judge} {strategy}: {share:.1%} of {n} tie; unsure are {of_ties:.1%} of ties, {of_others:.1%} of others"
        )


def main() -> None:
    """Print the three tables."""
    rows = pl.read_parquet(sys.argv[1])
    slots(rows)
    criteria(rows)
    ties(rows)


if __name__ == "__main__":
    main()
