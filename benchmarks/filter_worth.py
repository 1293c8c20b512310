"""What a filter is worth to a reward model: trained on pairs with wrong labels, on all or on those that votes leave.

    python benchmarks/filter_worth.py --human hh.jsonl.gz --pairs llmbar_pairs.parquet \\
        --verdicts llmbar_judgments.parquet --out DIR       every cell that is not there yet
    python benchmarks/filter_worth.py --cells DIR/cells.jsonl     results/filter_worth.json and docs/reward.md from them
    python benchmarks/filter_worth.py                             docs/reward.md from the results

--human is a file of pairs in any layout; --pairs and --verdicts are as in benchmarks/filter_rules.py, and the votes of
their first judge on these very pairs are used. Each pair of --human borrows the votes on one of those, drawn anew by
each seed. A seed draws which labels are wrong, the part of the prompts that is the test, the order and the head, the
same for every arm. What is trained is the last block and a head, as in benchmarks/reward.py, with as many steps in
every arm.
"""

import argparse
import json
import random
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

ROOT = Path(__file__).parent.parent
sys.path[0] = str(ROOT)

import factory
from benchmarks import reward_records
from benchmarks.filter_rules import GAP, JUDGES, Recorded, judgments, recorded
from benchmarks.reward import margins, train
from benchmarks.reward_records import Settings, append, made
from benchmarks.reward_report import END, PAGE, RESULTS, points, sign_flip, strata
from benchmarks.reward_trunk import PairStates, Trunk
from factory.identity import draw
from factory.store import write_json
from filters.balancing.items import BalanceItems
from filters.balancing.pairs import balance
from filters.votes import decide

JUDGE, WRONG, FOLDS, STRICT, DEFAULT = JUDGES[0], 0.3, 4, "all_right", "no_judge_prefers_rejected"
HUMAN, LLMBAR = "hh-rlhf", "LLMBar"
CLEAN, NOISY, FILTERED, FEWER, MILD = "clean", "noisy", "filtered", "fewer", "filtered mildly"
LEVEL, LEVEL_NOISY, STRANGE = "filtered, balanced", "noisy, balanced", "filtered by borrowed votes"
ARMS = {HUMAN: (CLEAN, NOISY, FILTERED, FEWER, MILD, LEVEL, LEVEL_NOISY)}
ARMS[LLMBAR] = (*ARMS[HUMAN], STRANGE)  # the votes on pairs of people are all borrowed
CONTRASTS = (
    (FILTERED, NOISY),
    (FILTERED, FEWER),
    (MILD, NOISY),
    (CLEAN, NOISY),
    (CLEAN, FILTERED),
    (NOISY, FEWER),
    (LEVEL, NOISY),
    (LEVEL, FILTERED),
    (LEVEL, LEVEL_NOISY),
    (FILTERED, STRANGE),
)
"""The first is the primary one."""
DRAWS = 20_000
MARK = "<!-- begin: benchmarks/filter_worth.py -->"
Floats = NDArray[np.float64]


class Material(NamedTuple):
    """Pairs with right labels, what the last block needs of each, and how a judge votes on them."""

    ids: list[str]
    fold: list[int]
    sizes: NDArray[np.int64]
    """[pairs, sides]: characters of the right reply and of the other one."""
    states: Sequence[PairStates]
    votes: Floats
    """[pairs, orders] as filter_rules.Recorded has them, or of other pairs, to be drawn from."""
    own: bool
    """Whether the votes are on these very pairs."""

    @property
    def longer(self) -> NDArray[np.int64]:
        """Which reply is longer: 1 the right one, -1 the other one, 0 neither."""
        return np.sign(self.sizes[:, 0] - self.sizes[:, 1])

    def level(self, numbers: Sequence[int], right: NDArray[np.bool_], seed: int) -> list[int]:
        """Of these pairs those that the length balance keeps, as they are labelled."""
        mixed = np.random.default_rng(draw(seed, "level")).permutation(numbers)
        sizes = np.where(right[mixed, None], self.sizes[mixed], self.sizes[mixed, ::-1])
        return sorted(mixed[balance(BalanceItems.of(sizes[:, 0], sizes[:, 1], GAP))].tolist())

    def voted(self, seed: int) -> Floats:
        """The judge's votes in a seed."""
        rng = np.random.default_rng(draw(seed, "votes"))
        return self.votes if self.own else self.votes[rng.integers(0, len(self.votes), len(self.ids))]


def material(pairs: pl.DataFrame, base: Trunk, settings: Settings, name: str, votes: Floats, own: bool) -> Material:
    """Of a table of pairs; those too long are left out."""
    table = base.fitting(pairs.unique("pair_id", keep="first", maintain_order=True), settings.score_length)
    fold = [draw(0, "fold", one) % FOLDS for one in table["prompt_id"]]
    kept = votes[table["verdict"].to_numpy()] if own else votes
    sizes = table.select(pl.col(side).str.len_chars().cast(pl.Int64) for side in ("chosen", "rejected")).to_numpy()
    return Material(table["pair_id"].to_list(), fold, sizes, base.pairs(table, name), kept, own)


def with_verdicts(pairs: Path, known: Recorded) -> pl.DataFrame:
    """The pairs that have verdicts, the better reply chosen; `verdict` is their place among the verdicts."""
    first = pl.col("label") == 1
    replies = {"chosen": ("response_1", "response_2"), "rejected": ("response_2", "response_1")}
    rows = pl.DataFrame({"pair_id": known.ids}).with_row_index("verdict").join(pl.read_parquet(pairs), on="pair_id")
    sides = {side: pl.when(first).then(pl.col(one)).otherwise(pl.col(two)) for side, (one, two) in replies.items()}
    return factory.load_pairs(rows.select("verdict", "prompt", **sides), "llmbar")


def members(found: Material, seed: int) -> dict[str, tuple[list[int], NDArray[np.bool_]]]:
    """Of each arm the numbers of its pairs, and of all pairs which have their label right in it."""
    rng = np.random.default_rng(draw(seed, "wrong"))
    right = rng.random(len(found.ids)) >= WRONG
    train_on = [n for n, fold in enumerate(found.fold) if fold != seed % FOLDS]
    strange = found._replace(own=False)
    kept = {
        FILTERED: passed(found, right, STRICT, seed),
        MILD: passed(found, right, DEFAULT, seed),
        STRANGE: passed(strange, right, STRICT, seed),
    }
    chosen = {arm: [n for n in train_on if found.ids[n] in ids] for arm, ids in kept.items()}
    fewer = random.Random(draw(seed, "fewer")).sample(train_on, len(chosen[FILTERED]))
    level = {LEVEL: found.level(chosen[FILTERED], right, seed), LEVEL_NOISY: found.level(train_on, right, seed)}
    wrong = {NOISY: train_on, FEWER: fewer} | chosen | level
    return {CLEAN: (train_on, np.ones_like(right))} | {arm: (numbers, right) for arm, numbers in wrong.items()}


def passed(found: Material, right: NDArray[np.bool_], rule: str, seed: int) -> set[str]:
    """Ids of the pairs that the filter keeps."""
    known = Recorded(found.ids, {JUDGE: found.voted(seed)}, np.empty(0, np.int64), np.empty(0, np.int64))
    decided = decide(judgments(known, right), (JUDGE,), rule)
    return set(decided.filter(pl.col("reason").is_null()).collect()["pair_id"])


def cell(found: Material, base: Trunk, arm: str, seed: int, settings: Settings) -> dict[str, Any]:
    """One arm trained with one seed, and the margins of the part that is the test."""
    numbers, right = members(found, seed)[arm]
    pairs = [found.states[n] if right[n] else PairStates(found.states[n].rejected, found.states[n].chosen)
             for n in numbers]  # fmt: skip
    top = base.top(draw(seed, "head"))
    train(top, pairs, settings, seed)
    tested = [n for n, fold in enumerate(found.fold) if fold == seed % FOLDS]
    return {
        "seed": seed,
        "pairs": len(numbers),
        "right": float(right[numbers].mean()),
        "settings": settings._asdict(),
        "tested": tested,
        "margins": margins(top, [found.states[n] for n in tested]),
        "longer": found.longer[tested].tolist(),
        "chosen_longer": float(np.mean(found.longer[numbers] == np.where(right[numbers], 1, -1))),
    }


def run(asked: argparse.Namespace) -> None:
    """Every cell that is not there yet, seed by seed."""
    settings, file = asked.settings, asked.out / "cells.jsonl"
    done, base = made(file, settings), Trunk(settings.model, settings.score_length, asked.out / "states")
    known = recorded(asked.verdicts, asked.pairs, "Vanilla")
    tables = {HUMAN: factory.load_pairs(asked.human, "human"), LLMBAR: with_verdicts(asked.pairs, known)}
    found = {name: material(table, base, settings, name, known.votes[JUDGE], name == LLMBAR)
             for name, table in tables.items()}  # fmt: skip
    for seed in asked.seeds:
        for name, arm in [(one, arm) for one, arms in ARMS.items() for arm in arms]:
            if (f"{name}: {arm}", seed) not in done:
                append(file, {"arm": f"{name}: {arm}", **cell(found[name], base, arm, seed, settings)})
                print(f"{seed} {name} {arm}", file=sys.stderr, flush=True)


class Tested(NamedTuple):
    """Of one arm on one material, over the seeds that all arms have."""

    right: Floats
    """[seeds, pairs]: 1 where the chosen reply scores higher, else 0; NaN where a pair was not the seed's test."""
    longer: NDArray[np.int64]
    facts: dict[str, float]


def read(place: Path) -> tuple[dict[str, dict[str, Tested]], dict[str, Any]]:
    """By material and arm, and the settings; seeds that an arm lacks, or that are no whole round, are left out."""
    cells = {(*one["arm"].split(": "), one["seed"]): one for one in reward_records.read(place)}
    seeds = sorted({seed for _, _, seed in cells})
    whole = [seed for seed in seeds if all((name, arm, seed) in cells for name in ARMS for arm in ARMS[name])]
    whole = whole[: len(whole) // FOLDS * FOLDS]
    found: dict[str, dict[str, Tested]] = {}
    for name, arms in ARMS.items():
        its = {arm: [cells[name, arm, seed] for seed in whole] for arm in arms}
        ways = {n: way for one in its[CLEAN] for n, way in zip(one["tested"], one["longer"], strict=True)}
        found[name] = {arm: tested(some, ways) for arm, some in its.items()}
    return found, next(iter(cells.values()))["settings"]


def tested(cells: Sequence[Mapping[str, Any]], ways: Mapping[int, int]) -> Tested:
    """The cells of one arm; `ways` says of each pair which reply is longer."""
    right = np.full((len(cells), max(ways) + 1), np.nan)
    for row, one in zip(right, cells, strict=True):
        row[one["tested"]] = np.array(one["margins"]) > 0
    side = np.array([ways.get(n, 0) for n in range(max(ways) + 1)])
    means = {key: float(np.mean([one[key] for one in cells])) for key in ("pairs", "right", "chosen_longer")}
    return Tested(right, side, means)


def estimate(right: Floats, longer: NDArray[np.int64]) -> dict[str, float]:
    """Mean of both strata of values [seeds, pairs], its interval over seeds and pairs, and the sign-flip test's p."""
    seeds, seen = len(right), ~np.isnan(right)
    by_seed = np.mean([np.nanmean(right[:, place], axis=1) for place in strata(longer)], axis=0)
    rng = np.random.default_rng(0)
    # As many seeds of each part in every draw: a part has pairs of its own.
    parts = [np.arange(seeds)[part::FOLDS] for part in range(FOLDS)]
    weights = np.zeros((DRAWS, seeds))
    for part in parts:
        weights[:, part] = rng.multinomial(len(part), np.full(len(part), 1 / len(part)), DRAWS)
    drawn = np.zeros(DRAWS)
    groups = strata(longer)
    for place in groups:
        counts = rng.multinomial(len(place), np.full(len(place), 1 / len(place)), DRAWS)
        values, there = np.nan_to_num(right[:, place]), seen[:, place].astype(float)
        drawn += ((weights @ values) * counts).sum(1) / ((weights @ there) * counts).sum(1) / len(groups)
    low, high = np.quantile(drawn, [0.025, 0.975])
    mean = float(by_seed.mean())
    return {"mean": mean, "low": float(low), "high": float(high), "seeds": seeds, "p": sign_flip(by_seed)}


def results(place: Path) -> dict[str, Any]:
    """Everything that the page says of the cells."""
    found, settings = read(place)
    said: dict[str, Any] = {"settings": settings}
    for name, arms in found.items():
        said[name] = {
            "tested": int((~np.isnan(arms[CLEAN].right)).any(axis=0).sum()),
            "arms": {arm: {**one.facts, **estimate(one.right, one.longer)} for arm, one in arms.items()},
            "contrasts": {f"{one} less {other}": estimate(arms[one].right - arms[other].right, arms[one].longer)
                          for one, other in CONTRASTS if {one, other} <= {*arms}},
        }  # fmt: skip
    return said


def tables(found: Mapping[str, Any]) -> Iterator[str]:
    """The tables of the page, line by line."""
    for name in (HUMAN, LLMBAR):
        tested_on = f"{name}, {found[name]['tested']} pairs"
        yield f"| {tested_on} | pairs | labels right | chosen longer | seeds | accuracy | 95 % |"
        yield "|---|--:|--:|--:|--:|--:|---|"
        for arm, one in found[name]["arms"].items():
            mean, low, high = (f"{one[key]:.3f}" for key in ("mean", "low", "high"))
            shares = f"{one['right']:.1%} | {one['chosen_longer']:.1%}"
            yield f"| {arm} | {one['pairs']:.0f} | {shares} | {one['seeds']} | {mean} | {low} to {high} |"
        yield ""
    yield f"| difference, in points | {HUMAN} | p | {LLMBAR} | p |"
    yield "|---|---|---|---|---|"
    for both in found[LLMBAR]["contrasts"]:
        sides = [found[name]["contrasts"].get(both) for name in (HUMAN, LLMBAR)]
        cells = (f"{points(one)} | {one['p']:.3f}" if one else "– | –" for one in sides)
        yield f"| {both} | {' | '.join(cells)} |"


def with_tables(page: str, text: str) -> str:
    """The page with the tables between their marks. ValueError when it has none."""
    before, begin, rest = page.partition(MARK)
    if not begin:
        raise ValueError(f"the page has no {MARK}")
    return f"{before}{begin}\n\n{text}\n\n{END}{rest.partition(END)[2]}"


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("human", "pairs", "verdicts", "out"):
        parser.add_argument(f"--{name}", type=Path)
    parser.add_argument("--seeds", nargs="+", type=int, default=list(range(1, 25)))
    parser.add_argument("--steps", type=int, default=75)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--model", default=Settings().model)
    parser.add_argument("--cells", type=Path)
    asked = parser.parse_args()
    asked.settings = Settings(asked.model, steps=asked.steps, learning_rate=asked.learning_rate, train_length=384)
    if asked.out:
        run(asked)
        return
    file = RESULTS / "filter_worth.json"
    if asked.cells:
        write_json(file, results(asked.cells))
    text = "\n".join(tables(json.loads(file.read_text())))
    PAGE.write_text(with_tables(PAGE.read_text(), text))
    print(text)


if __name__ == "__main__":
    main()
