"""Do synthetic pairs help a reward model? Arms of equal steps, many seeds, and labels turned round as the control.

    python benchmarks/reward.py --human hh.jsonl.gz --synthetic principles=RUN/exports/rm --llmbar llmbar.parquet \\
        --gsm8k gsm8k.parquet --out DIR                   every cell that is not there yet
    python benchmarks/reward.py ... --choose              learning rates and steps, on human pairs set aside for it
    python benchmarks/reward.py ... --full --device cuda  all weights are trained, not the last block alone
    python benchmarks/reward.py ... --shard 2/6           the second of six processes that do it together
    python benchmarks/reward.py ... --labeller MODEL      a reward model of those pairs, for `pairs: best_of_n`
    python benchmarks/reward_report.py --cells DIR/cells.jsonl    what the cells come to

--human is a file of pairs in any layout: its last pairs are a test, a part before them is for --choose, the rest is
trained on. --synthetic NAME=PAIRS,PAIRS may be given several times. Of each a quarter of the prompts is held out, which
shows whether its labels can be learned at all. Without --full all weights but the last block and the head are frozen
(reward_trunk.py, reward_full.py). A seed draws the pairs, their order and the head, the same ones for every arm.
DIR/cells.jsonl gets a line for each arm and seed as soon as it is made, DIR/choice.jsonl one for each try of --choose;
what is there is not made again. Of cells with other settings in the same file is said that they do not go together.
--arms and --seeds may be given several times: all seeds of the first arms come first, and then the next arms.
"""

import argparse
import math
import random
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl
import torch
from torch.nn.functional import logsigmoid

ROOT = Path(__file__).parent.parent
sys.path[0] = str(ROOT)

import factory
from benchmarks.reward_full import FullModel
from benchmarks.reward_records import Settings, append, made, read
from benchmarks.reward_trunk import PairStates, Trunk
from factory.identity import draw
from factory.reward.data import read_data

Base = Trunk | FullModel
HUMAN, MORE = "human", "more human"
AS_LABELLED, FLIPPED, RANDOM = "as labelled", "flipped", "random"
TREATMENTS = (AS_LABELLED, FLIPPED, RANDOM)
LABELLER_SEED = 1
HELD, LLMBAR, GSM8K, DEV = "hh-rlhf", "LLMBar", "GSM8K", "dev"
TRIED = ((3e-5, 1e-4, 3e-4, 1e-3), (25, 75), (1001, 1002, 1003))
TRIED_FULL = ((1e-5, 3e-5, 1e-4), None, (1001, 1002))
"""Learning rates, steps (those that were given) and seeds, which no cell has, of --choose."""


class Part(NamedTuple):
    """Pairs that an arm trains on."""

    source: str
    labels: str = AS_LABELLED


class Bench(NamedTuple):
    """Pairs with their states: what is trained on, by source, and what is measured on, by test."""

    sources: Mapping[str, list[PairStates]]
    tests: Mapping[str, list[PairStates]]
    longer: Mapping[str, list[int]]
    """For each pair of a test which reply is longer in characters: 1 chosen, -1 rejected, 0 neither."""


def arms(synthetic: Sequence[str]) -> dict[str, tuple[Part, ...]]:
    """Human pairs, twice as many, and each kind of synthetic ones beside them and alone, under each treatment.

    Human pairs with labels turned round show what is seen where labels do carry information; T are the human pairs set
    aside for --choose, of which the labeller of best_of_n is made.
    """
    found = {"H": (Part(HUMAN),), "H+H": (Part(HUMAN), Part(MORE)), "H flipped": (Part(HUMAN, FLIPPED),)}
    found["T"] = (Part(DEV),)
    for name in synthetic:
        for labels in TREATMENTS:
            mark = "" if labels == AS_LABELLED else f" {labels}"
            found[f"H+{name}{mark}"] = (Part(HUMAN), Part(name, labels))
            found[f"{name}{mark}"] = (Part(name, labels),)
    return found


def shuffled(pairs: pl.DataFrame, what: str) -> pl.DataFrame:
    """In the order of a hash of the pair, so that the file's order is of no account."""
    draws = pl.Series("__draw", [draw(0, what, one) for one in pairs["pair_id"]], dtype=pl.Int64)
    return pairs.with_columns(draws).sort("__draw").drop("__draw")


def tables(asked: argparse.Namespace, base: Base) -> tuple[dict[str, pl.DataFrame], dict[str, pl.DataFrame]]:
    """Training pairs by source and test pairs by test; no prompt is in both."""
    human, limit = factory.load_pairs(asked.human, "human"), asked.settings.train_length
    bar = factory.load_pairs(asked.llmbar, "llmbar")
    if "subset" in bar.columns:
        bar = bar.filter(pl.col("subset").str.starts_with("LLMBar/"))
    sums = shuffled(factory.load_pairs(asked.gsm8k, "gsm8k"), "test").head(asked.gsm8k_pairs)
    tests = {HELD: human.tail(asked.held_out), LLMBAR: bar, GSM8K: sums}
    taken = pl.concat([test.select("prompt_id") for test in tests.values()])
    rest = human.head(human.height - asked.held_out).join(taken, on="prompt_id", how="anti")
    rest = shuffled(base.fitting(rest, limit), "train")
    sources, aside = {HUMAN: rest.slice(asked.dev).head(asked.human_pool)}, {DEV: rest.head(asked.dev)}
    if asked.choose:
        return sources, aside
    sources |= aside
    for name, paths in asked.synthetic.items():
        made = read_data(paths, 0.0, 0).train.join(taken, on="prompt_id", how="anti")
        made = shuffled(base.fitting(made, limit), "train")
        out = pl.Series([draw(0, "held out", one) % 4 == 0 for one in made["prompt_id"]], dtype=pl.Boolean)
        sources[name], tests[f"held-out {name}"] = made.filter(~out), made.filter(out)
    return sources, tests


def longer(pairs: pl.DataFrame) -> list[int]:
    """1, -1 or 0 for each pair."""
    chosen, rejected = (pl.col(side).str.len_chars().cast(pl.Int64) for side in ("chosen", "rejected"))
    return pairs.select((chosen - rejected).sign())["chosen"].to_list()


def drawn(found: Bench, parts: Sequence[Part], seed: int, most: int) -> list[PairStates]:
    """The pairs of an arm; of a source the same ones under every treatment, and human ones never twice."""
    pairs = []
    for source, labels in parts:
        pool = found.sources[HUMAN if source == MORE else source]
        order = random.Random(draw(seed, "pairs", HUMAN if source == MORE else source)).sample(pool, len(pool))
        coin = random.Random(draw(seed, "labels", source))
        for pair in order[most : 2 * most] if source == MORE else order[:most]:
            turn = labels == FLIPPED or (labels == RANDOM and coin.random() < 0.5)
            pairs.append(PairStates(pair.rejected, pair.chosen) if turn else pair)
    return pairs


def train(top: Any, pairs: Sequence[PairStates], settings: Settings, seed: int) -> None:
    """All steps, over the pairs in an order of its own each time round, by the loss of `reward train`."""
    rng, queue = random.Random(draw(seed, "order")), list[PairStates]()
    weights, fused = [one for one in top.parameters() if one.requires_grad], settings.device != "cpu" or None
    optimiser = torch.optim.AdamW(weights, lr=settings.learning_rate, weight_decay=0.0, fused=fused)
    warm = max(1, settings.steps // 10)
    rate = torch.optim.lr_scheduler.LambdaLR(
        optimiser,
        lambda step: min((step + 1) / warm, 0.5 + 0.5 * math.cos(math.pi * max(0, step - warm) / settings.steps)),
    )
    for _ in range(settings.steps):
        while len(queue) < settings.batch_pairs:
            queue += rng.sample(pairs, len(pairs))
        step, queue = queue[: settings.batch_pairs], queue[settings.batch_pairs :]
        loss = loss_of(top, step, settings.center)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimiser.step()
        rate.step()


def loss_of(top: Any, pairs: Sequence[PairStates], center: float) -> torch.Tensor:
    """-log sigmoid(r(chosen) - r(rejected)) + center (r(chosen) + r(rejected))^2, mean over pairs."""
    rewards = top([pair.chosen for pair in pairs] + [pair.rejected for pair in pairs])
    chosen, rejected = rewards.chunk(2)
    loss: torch.Tensor = (center * (chosen + rejected) ** 2 - logsigmoid(chosen - rejected)).mean()
    return loss


@torch.no_grad()
def margins(top: Any, pairs: Sequence[PairStates], room: int = 8192) -> list[float]:
    """r(chosen) - r(rejected) of every pair."""
    rows = [side for pair in pairs for side in pair]
    rewards, place = [0.0] * len(rows), sorted(range(len(rows)), key=lambda n: -len(rows[n]))
    while place:
        few = max(1, room // len(rows[place[0]]))
        for number, reward in zip(place[:few], top([rows[n] for n in place[:few]]).tolist(), strict=True):
            rewards[number] = reward
        place = place[few:]
    return [round(rewards[n] - rewards[n + 1], 5) for n in range(0, len(rows), 2)]


def cell(found: Bench, base: Base, parts: Sequence[Part], seed: int, settings: Settings) -> dict[str, Any]:
    """One arm trained with one seed and measured."""
    began, top = time.monotonic(), base.top(draw(seed, "head"))
    pairs = drawn(found, parts, seed, settings.pairs)
    train(top, pairs, settings, seed)
    return {
        "seed": seed,
        "pairs": len(pairs),
        "settings": settings._asdict(),
        "training": margins(top, pairs),
        "tests": {name: {"margins": margins(top, test), "longer": found.longer[name]}
                  for name, test in found.tests.items()},
        "seconds": round(time.monotonic() - began, 1),
    }  # fmt: skip


def run(asked: argparse.Namespace) -> None:
    """Every cell that is not there yet, seed by seed."""
    settings, weights = asked.settings, asked.weights or asked.settings.model
    done = set() if asked.choose or asked.labeller else made(asked.out / "cells.jsonl", settings)
    limit = settings.score_length
    base = FullModel(weights, limit, settings.device) if settings.full else Trunk(weights, limit, asked.out / "states")
    sources, tests = tables(asked, base)
    states = [{name: base.pairs(table, name.replace(" ", "-")) for name, table in given.items()}
              for given in (sources, tests)]  # fmt: skip
    found = Bench(*states, {name: longer(table) for name, table in tests.items()})
    for name, pairs in [*found.sources.items(), *found.tests.items()]:
        print(f"{name}: {len(pairs)} pairs", file=sys.stderr, flush=True)
    if empty := [name for name, pairs in found.sources.items() if not pairs]:
        raise SystemExit(f"of {empty[0]} no pair is left: raise --train-length, or give prompts that no test has")
    if asked.choose:
        choose(found, base, asked)
        return
    if asked.labeller:
        top = base.top(draw(LABELLER_SEED, "head"))
        train(top, drawn(found, (Part(DEV),), LABELLER_SEED, asked.dev), settings, LABELLER_SEED)
        base.save(top, asked.labeller)
        return
    for name, seed in jobs(asked):
        if (name, seed) not in done:
            one = cell(found, base, arms(list(asked.synthetic))[name], seed, settings)
            append(asked.out / "cells.jsonl", {"arm": name, **one})
            print(f"{name} {seed}: {one['seconds']} s", file=sys.stderr, flush=True)


def jobs(asked: argparse.Namespace) -> list[tuple[str, int]]:
    """Arm and seed of this process's cells: block by block and in each seed by seed, so that whole seeds come first."""
    every = [(name, seed) for seeds in asked.seeds for names in asked.arms for seed in seeds for name in names]
    return every[asked.shard]


def choose(found: Bench, base: Base, asked: argparse.Namespace) -> None:
    """Accuracy on the human pairs set aside, trained on human pairs alone with seeds that no cell has."""
    file, (rates, some_steps, seeds) = asked.out / "choice.jsonl", TRIED_FULL if asked.settings.full else TRIED
    done = [(one["seed"], Settings(**one["settings"])) for one in read(file)]
    tried = [(seed, asked.settings._replace(learning_rate=rate, steps=steps))
             for seed in seeds for rate in rates for steps in some_steps or [asked.steps]]  # fmt: skip
    for seed, settings in tried[asked.shard]:
        if (seed, settings) in done:
            continue
        top = base.top(draw(seed, "head"))
        train(top, drawn(found, (Part(HUMAN),), seed, settings.pairs), settings, seed)
        got, ways = margins(top, found.tests[DEV]), found.longer[DEV]
        sides = [[m > 0 for m, way in zip(got, ways, strict=True) if way == side] for side in (1, -1)]
        mean = sum(sum(side) / len(side) for side in sides) / 2
        append(file, {"seed": seed, "settings": settings._asdict(), "dev": mean})
        print(f"{settings.learning_rate:g} {settings.steps} {seed}: {mean:.3f}", file=sys.stderr, flush=True)


def shard(given: str) -> slice:
    """2/6 as every sixth from the second on."""
    number, _, of = given.partition("/")
    if not (number.isdigit() and of.isdigit() and 1 <= int(number) <= int(of)):
        raise argparse.ArgumentTypeError("must be like 2/6, the second of six")
    return slice(int(number) - 1, None, int(of))


def named(given: Sequence[str]) -> dict[str, list[str]]:
    """NAME=PATH,PATH as the paths of each name."""
    return {name: paths.split(",") for name, _, paths in (one.partition("=") for one in given)}


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--human", required=True)
    parser.add_argument("--synthetic", nargs="+", default=[], metavar="NAME=PAIRS")
    parser.add_argument("--llmbar", required=True)
    parser.add_argument("--gsm8k", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--arms", nargs="+", action="append", help="these alone")
    parser.add_argument("--seeds", nargs="+", type=int, action="append")
    parser.add_argument("--shard", type=shard, default=slice(None), metavar="K/N")
    parser.add_argument("--weights", help="the folder that --model's weights lie in, where its name does not say it")
    parser.add_argument("--held-out", type=int, default=250)
    parser.add_argument("--dev", type=int, default=150)
    parser.add_argument("--human-pool", type=int, default=500, help="of which each seed draws")
    parser.add_argument("--gsm8k-pairs", type=int, default=300)
    parser.add_argument("--choose", action="store_true")
    parser.add_argument("--labeller", type=Path)
    for name, value in Settings()._asdict().items():
        kind: dict[str, Any] = {"action": "store_true"} if value is False else {"type": type(value), "default": value}
        parser.add_argument(f"--{name.replace('_', '-')}", **kind)
    asked = parser.parse_args()
    asked.synthetic = named(asked.synthetic)
    asked.settings = Settings(**{name: getattr(asked, name) for name in Settings._fields})
    known = arms(list(asked.synthetic))
    asked.arms, asked.seeds = asked.arms or [list(known)], asked.seeds or [list(range(1, 11))]
    if unknown := [name for names in asked.arms for name in names if name not in known]:
        parser.error(f"there is no arm {unknown[0]}; they are {', '.join(known)}")
    if asked.device != "cpu" and not asked.full:
        parser.error("--device goes with --full: the frozen part is computed on the CPU")
    run(asked)


if __name__ == "__main__":
    main()
