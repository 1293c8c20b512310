"""How often each way of saying how many pairs are right tells the truth, and how wide its interval is.

    python benchmarks/audit.py                             three made-up judges
    python benchmarks/audit.py --verdicts FILE.parquet     recorded ones

The file has the columns judge, strategy, label, verdict_orig, verdict_swap: for pairs whose better reply is known
(`label`, 1 or 2), what a judge preferred when shown them as they are and swapped, as LLMBar's judgments come. From each
a set of pairs is made in which the better reply is the chosen one with probability q; a random part of it is labelled;
95 % intervals for the share of right labels among all of them are compared with that share. `agreement`: Wilson's
interval for the judge's verdicts; `labels`: Wilson's for the labels, with the finite population; `PPI++`: as published;
`estimate`: factory.estimate.

The second table is of several judges together: how often each way of combining them is right about a pair, and the mean
width of the estimate's interval with it. The third is of `audit --certify`: simulated streams of pairs in random order,
how often the certificate was false, and how many pairs it took.
"""

import argparse
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

ROOT = Path(__file__).parent.parent
sys.path[0] = str(ROOT)

from factory.statistics.estimate import fit
from factory.statistics.panel import combined
from factory.statistics.sequential import ABOVE, BELOW, Certifier
from factory.statistics.shares import finite_interval, normal_quantile, score_interval

JUDGES = ("GPT-4", "PaLM2", "ChatGPT")
SHARES, LABELS = (0.8, 0.9), (50, 100)
Z = normal_quantile(0.95)
FIXED = 385
"""So many pairs give a 95 % interval of 5 points either side at most, whatever the share is."""
Floats = NDArray[np.float64]


class Draw(NamedTuple):
    """A set of pairs with labels right so and so often, scored by one judge, some of it labelled."""

    scores: Floats
    """Shape [pairs]: 1 where both votes are for chosen, 0 for rejected, one half for one each or an unread one."""
    right: NDArray[np.bool_]
    labelled: NDArray[np.int64]


def recorded(path: Path, strategy: str) -> dict[str, Floats]:
    """By judge, the mean of its two votes for the better reply of each pair."""
    table = pl.read_parquet(path).filter(pl.col("strategy") == strategy).sort("pair_id")
    better = pl.col("label").cast(pl.String)
    votes = [(pl.col(f"verdict_{order}") == better).cast(pl.Float64).fill_null(0.5) for order in ("orig", "swap")]
    scored = table.select("judge", score=pl.mean_horizontal(votes))
    return {name: scored.filter(pl.col("judge") == name)["score"].to_numpy() for name in JUDGES}


def made_up(pairs: int = 734) -> dict[str, Floats]:
    """Judges that vote for the better reply 76, 65 and 43 times in 100; how hard a pair is, is the same for all."""
    rng = np.random.default_rng(0)
    hard = rng.normal(size=pairs)
    made = {}
    for name, share in zip(("judge of 76 %", "judge of 65 %", "judge of 43 %"), (0.76, 0.65, 0.43), strict=True):
        sure = 0.7 * hard + 0.55 * rng.normal(size=pairs)
        votes = sure + 0.45 * rng.normal(size=(2, pairs))
        made[name] = (votes < np.quantile(votes, share)).mean(axis=0)
    return made


def draw(better: Floats, share: float, labels: int, rng: np.random.Generator) -> Draw:
    """A fresh set of pairs with a fresh random part of it labelled."""
    right = rng.random(len(better)) < share
    return Draw(np.where(right, better, 1 - better), right, rng.permutation(len(better))[:labels])


def agreement(drawn: Draw) -> tuple[float, float]:
    """What a judge alone says: the share of pairs it prefers as labelled."""
    return score_interval(float((drawn.scores == 1).mean()), Z**2 / len(drawn.scores))


def labels_alone(drawn: Draw) -> tuple[float, float]:
    """What the labels alone say."""
    return finite_interval(int(drawn.right[drawn.labelled].sum()), len(drawn.labelled), len(drawn.right))


def textbook(drawn: Draw) -> tuple[float, float]:
    """Prediction-powered inference with a fitted weight and the normal quantile (PPI++)."""
    scores, labels = drawn.scores[drawn.labelled], drawn.right[drawn.labelled].astype(float)
    n, m = len(drawn.scores), len(labels)
    rest = np.delete(drawn.scores, drawn.labelled)
    weight = np.cov(labels, scores)[0, 1] / (1 + m / len(rest)) / max(np.var(rest, ddof=1), 1e-12)
    weight = min(max(weight, 0.0), 1.0)
    error = labels - weight * scores
    middle = error.mean() + weight * rest.mean()
    spread = error.var(ddof=1) / m + weight**2 * rest.var(ddof=1) / (n - m)
    half = Z * np.sqrt(spread * (1 - m / n))
    return middle - half, middle + half


def with_judge(drawn: Draw) -> tuple[float, float]:
    """factory.estimate."""
    known = np.full(len(drawn.right), np.nan)
    known[drawn.labelled] = drawn.right[drawn.labelled]
    found = fit(drawn.scores[:, None], known)
    return found.low, found.high


METHODS = {"agreement": agreement, "labels": labels_alone, "PPI++": textbook, "estimate": with_judge}


def cell(better: Floats, share: float, labels: int, draws: int, seed: int = 0) -> dict[str, tuple[float, float]]:
    """By method: how often its interval held the share of right labels, and its mean width."""
    rng = np.random.default_rng([seed, round(100 * share), labels])
    covered, widths = dict.fromkeys(METHODS, 0), dict.fromkeys(METHODS, 0.0)
    for _ in range(draws):
        drawn = draw(better, share, labels, rng)
        truth = drawn.right.mean()
        for name, method in METHODS.items():
            low, high = method(drawn)
            covered[name] += bool(low - 1e-9 <= truth <= high + 1e-9)
            widths[name] += high - low
    return {name: (covered[name] / draws, widths[name] / draws) for name in METHODS}


def bounds(test: Certifier, pairs: int) -> tuple[Floats, Floats]:
    """By number drawn, 1 to `pairs`: the fewest right ones that certify `above`, and the most that certify `below`."""
    above, below = np.full(pairs, np.inf), np.full(pairs, -1.0)
    least, most = 0, -1
    for drawn in range(1, pairs + 1):
        while least <= drawn and test.verdict(least, drawn) != ABOVE:
            least += 1
        while most + 1 <= drawn and test.verdict(most + 1, drawn) == BELOW:
            most += 1
        above[drawn - 1], below[drawn - 1] = least, most
    return above, below


def certificates(streams: int, pairs: int = 1000, share: float = 0.75) -> None:
    """Print a row per truth: the share of false certificates, and pairs looked at, beside a sample fixed beforehand."""
    above, below = bounds(Certifier(pairs, share), pairs)
    print(f"\n| right of {pairs:,} | false certificates of {share:.0%} | pairs, mean | 95 % within | of {FIXED} |")
    print("|---|---|---|---|---|")
    for right in (550, 650, 700, 749, 750, 800, 850, 950):
        rng, looked, false = np.random.default_rng(right), [], 0
        for _ in range(streams):
            seen = (rng.permutation(pairs) < right).cumsum()
            told = (seen >= above) | (seen <= below)
            first = int(told.argmax())
            false += bool(seen[first] >= above[first]) != (right / pairs >= share)
            looked.append(first + 1)
        mean, most = np.mean(looked), np.quantile(looked, 0.95)
        print(f"| {right} | {false / streams:.2%} | {mean:.0f} | {most:.0f} | {mean / FIXED:.0%} |", flush=True)


def dawid_skene(scores: Floats, rounds: int = 50) -> Floats:
    """Probability that each pair is right by Dawid and Skene's model (1979), which takes judges for independent.

    `scores` [pairs, judges]; a verdict counts once more than it was given, and once again where it is the right one.
    """
    said = np.rint(2 * scores).astype(int)
    p_right = scores.mean(axis=1)
    extra = np.array([[2.0, 1.0, 1.0], [1.0, 1.0, 2.0]])
    for _ in range(rounds):
        share = min(max(p_right.mean(), 1e-6), 1 - 1e-6)
        odds = np.full(len(said), np.log(share / (1 - share)))
        for judge in said.T:
            counts = np.stack([np.bincount(judge, weight, 3) for weight in (1 - p_right, p_right)]) + extra
            chances = np.log(counts / counts.sum(axis=1, keepdims=True))
            odds += chances[1, judge] - chances[0, judge]
        p_right = 1 / (1 + np.exp(-np.clip(odds, -500, 500)))
    return p_right


def panels(judges: dict[str, Floats], draws: int) -> None:
    """Print how often one judge, and several together, are right about a pair, and the estimate's width with each."""
    ways = ("best judge", "vote", "Dawid-Skene", "calibrated")
    print(f"\n| judges | right | labels | {' | '.join(ways)} |")
    print(f"|---|---|---|{'---|' * len(ways)}")
    names = list(judges)
    for panel in ((0, 1), (0, 1, 2)):
        better = np.stack([judges[names[place]] for place in panel], axis=1)
        for share in (0.5, 0.8):
            for labels in LABELS:
                rng = np.random.default_rng([len(panel), round(100 * share), labels])
                made = [_panel(better, share, labels, rng) for _ in range(draws)]
                hits, widths = np.mean([one[0] for one in made], axis=0), np.mean([one[1] for one in made], axis=0)
                shown = " | ".join(f"{hit:.1%}, {width:.3f}" for hit, width in zip(hits, widths, strict=True))
                print(f"| {', '.join(names[p] for p in panel)} | {share} | {labels} | {shown} |", flush=True)


def _panel(better: Floats, share: float, labels: int, rng: np.random.Generator) -> tuple[list[float], list[float]]:
    """Of one draw: the share of pairs decided rightly, unsure ones counting half, and the width; by way."""
    right = rng.random(len(better)) < share
    scores = np.where(right[:, None], better, 1 - better)
    known = np.full(len(right), np.nan)
    chosen = rng.permutation(len(right))[:labels]
    known[chosen] = right[chosen]
    one, vote, model = scores[:, :1], scores.mean(axis=1, keepdims=True), dawid_skene(scores)[:, None]
    said = [one[:, 0], vote[:, 0], model[:, 0], combined(scores, known).p_right]
    hits = [float(np.where(p == 0.5, 0.5, (p > 0.5) == right).mean()) for p in said]
    fits = [fit(heard, known) for heard in (one, vote, model, scores)]
    return hits, [found.high - found.low for found in fits]


def main() -> None:
    """Parse, measure each cell, print a row of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--verdicts", type=Path, help="Parquet of recorded verdicts")
    parser.add_argument("--strategy", default="Vanilla", help="of the file's ways of asking, this one")
    parser.add_argument("--draws", type=int, default=4000)
    parser.add_argument("--streams", type=int, default=10_000, help="of the certificates, for each truth")
    asked = parser.parse_args()
    judges = made_up() if asked.verdicts is None else recorded(asked.verdicts, asked.strategy)
    print(f"| judge (votes for the better reply) | right | labels | {' | '.join(METHODS)} | against labels |")
    print(f"|---|---|---|{'---|' * len(METHODS)}---|")
    for name, better in judges.items():
        for share in SHARES:
            for labels in LABELS:
                found = cell(better, share, labels, asked.draws)
                shown = " | ".join(f"{covered:.1%}, {width:.3f}" for covered, width in found.values())
                gain = found["estimate"][1] / found["labels"][1] - 1
                print(f"| {name} ({better.mean():.1%}) | {share} | {labels} | {shown} | {gain:+.1%} |", flush=True)
    panels(judges, asked.draws // 10)
    certificates(asked.streams)


if __name__ == "__main__":
    main()
