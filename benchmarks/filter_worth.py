"""What a filter is worth to a reward model: trained on pairs with wrong labels, on all or on those that votes leave.

    python benchmarks/filter_worth.py --human hh.jsonl.gz --pairs llmbar_pairs.parquet \\
        --verdicts llmbar_judgments.parquet --out DIR           every cell that is not there yet
    python benchmarks/filter_worth_report.py --cells DIR/cells.jsonl     what the cells come to

--human is a file of pairs in any layout; --pairs and --verdicts are as in benchmarks/filter_rules.py, and the votes of
their first judge on these very pairs are used. Each pair of --human borrows the votes on one of those, drawn anew by
each seed. A seed draws which labels are wrong, the part of the prompts that is the test, and the head, the same for
every arm; by it the pairs are mixed. Noisy and filtered are made at several shares of wrong labels. What is trained is
the last block and a head, as in benchmarks/reward.py, with as many steps in every arm.
"""

import argparse
import random
import sys
from collections.abc import Sequence
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

ROOT = Path(__file__).parent.parent
sys.path[0] = str(ROOT)

import factory
from benchmarks.filter_rules import GAP, JUDGES, Recorded, judgments, recorded
from benchmarks.reward import margins, train
from benchmarks.reward_records import Settings, append, made
from benchmarks.reward_trunk import PairStates, Trunk
from factory.identity import draw
from filters.balancing.items import BalanceItems
from filters.balancing.pairs import balance
from filters.votes import decide

JUDGE, WRONG, FOLDS, STRICT, DEFAULT = JUDGES[0], 0.3, 4, "all_right", "no_judge_prefers_rejected"
HUMAN, LLMBAR = "hh-rlhf", "LLMBar"
CLEAN, NOISY, FILTERED, FEWER, MILD = "clean", "noisy", "filtered", "fewer", "filtered mildly"
LEVEL, LEVEL_NOISY, STRANGE = "filtered, balanced", "noisy, balanced", "filtered by borrowed votes"
ARMS = {HUMAN: (CLEAN, NOISY, FILTERED, FEWER, MILD, LEVEL, LEVEL_NOISY)}
ARMS[LLMBAR] = (*ARMS[HUMAN], STRANGE)  # the votes on pairs of people are all borrowed
SHARES = (0.0, 0.1, 0.2, WRONG, 0.4)
"""Of labels that are wrong. The smaller the share, the fewer of the same pairs have theirs turned round."""
Floats = NDArray[np.float64]
Members = tuple[list[int], NDArray[np.bool_]]
"""Of an arm the numbers of its pairs, and of all pairs whether the label is right in it."""


def at(arm: str, share: float) -> str:
    """The name of the arm where so many labels are wrong."""
    return arm if share == WRONG else CLEAN if (arm, share) == (NOISY, 0) else f"{arm} at {share:.0%}"


SHARED = {at(arm, share): (arm, share) for share in SHARES for arm in (NOISY, FILTERED)}
"""The arms of every share; those of WRONG, and clean, are among ARMS too."""


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


def members(found: Material, seed: int, share: float = WRONG) -> dict[str, Members]:
    """Of each arm."""
    rng = np.random.default_rng(draw(seed, "wrong"))
    right = rng.random(len(found.ids)) >= share
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


def cell(found: Material, base: Trunk, arm: Members, seed: int, settings: Settings) -> dict[str, Any]:
    """One arm trained with one seed, and the margins of the part that is the test."""
    numbers, right = arm
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
    """Every cell that is not there yet: seed by seed the arms, then those of the other shares."""
    settings, file = asked.settings, asked.out / "cells.jsonl"
    done, base = made(file, settings), Trunk(settings.model, settings.score_length, asked.out / "states")
    known = recorded(asked.verdicts, asked.pairs, "Vanilla")
    tables = {HUMAN: factory.load_pairs(asked.human, "human"), LLMBAR: with_verdicts(asked.pairs, known)}
    found = {name: material(table, base, settings, name, known.votes[JUDGE], name == LLMBAR)
             for name, table in tables.items()}  # fmt: skip
    drawn = cache(lambda name, seed, share: members(found[name], seed, share))
    for arms, seed in product((ARMS, *({name: SHARED} for name in ARMS)), asked.seeds):
        for name, arm in [(one, arm) for one in arms for arm in arms[one]]:
            if (f"{name}: {arm}", seed) not in done:
                plain, share = SHARED.get(arm, (arm, WRONG))
                its = drawn(name, seed, share)[plain]
                append(file, {"arm": f"{name}: {arm}", **cell(found[name], base, its, seed, settings)})
                done.add((f"{name}: {arm}", seed))
                print(f"{seed} {name} {arm}", file=sys.stderr, flush=True)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("human", "pairs", "verdicts", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--seeds", nargs="+", type=int, default=list(range(1, 25)))
    parser.add_argument("--steps", type=int, default=75)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--model", default=Settings().model)
    asked = parser.parse_args()
    asked.settings = Settings(asked.model, steps=asked.steps, learning_rate=asked.learning_rate, train_length=384)
    run(asked)


if __name__ == "__main__":
    main()
