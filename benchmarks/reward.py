"""What synthetic pairs add to a reward model: one trained on human pairs, one on those and synthetic ones.

    python benchmarks/reward.py --human hh.jsonl.gz --synthetic RUN/exports/rm --llmbar llmbar.parquet --out DIR

--human is a file of pairs in any layout that can be read; its last pairs are held out. --synthetic is what a run
exported as `rm`; its test split is not used. --llmbar is a file of pairs with a column `subset`. The model that has
read both also takes more steps; `--arms human human_again both` adds one that reads the human pairs as often as it
takes to reach the same number of steps. Everything is made once: the same command goes on where it stopped.
OUT/results.json has the numbers.
"""

import argparse
import platform
import sys
from importlib.metadata import version
from math import comb
from pathlib import Path
from typing import Any

import polars as pl

ROOT = Path(__file__).parent.parent
sys.path[0] = str(ROOT)

import factory
from factory.config import BUNDLED_MODEL
from factory.identity import draw
from factory.models.load import load_tokenizer
from factory.models.ref import ModelRef
from factory.reward.accuracy import tally
from factory.reward.data import read_data
from factory.reward.tokens import ConversationReader
from factory.statistics.shares import wilson
from factory.store import write_json
from factory.terminal import for_stream

ARMS = {
    "human": "human pairs",
    "human_again": "human pairs, as many steps as both",
    "synthetic": "synthetic pairs",
    "both": "human and synthetic pairs",
}
HELD, LLMBAR = "held-out human", "LLMBar"


def training_sets(asked: argparse.Namespace) -> tuple[dict[str, pl.DataFrame], pl.DataFrame]:
    """The pairs of each arm, and the held-out tail: by file order, no prompt on both sides."""
    human = factory.load_pairs(asked.human, "human")
    held = human.tail(asked.held_out)
    left = human.head(human.height - held.height).join(held.select("prompt_id"), on="prompt_id", how="anti")
    synthetic = read_data(asked.synthetic, 0.0, asked.seed).train
    synthetic = synthetic.join(held.select("prompt_id"), on="prompt_id", how="anti")
    human = sample(fitting(left, asked), asked.human_pairs, asked.seed)
    synthetic = sample(fitting(synthetic, asked), asked.synthetic_pairs, asked.seed)
    both = pl.concat([human, synthetic], how="diagonal_relaxed")
    return {"human": human, "human_again": human, "synthetic": synthetic, "both": both}, held


def fitting(pairs: pl.DataFrame, asked: argparse.Namespace) -> pl.DataFrame:
    """The pairs that are short enough to be trained on, so that an arm has as many as it says."""
    found = ConversationReader(load_tokenizer(ModelRef(asked.model))).pairs(pairs, asked.max_length).pairs
    return pairs.filter(pl.col("pair_id").is_in([pair.pair_id for pair in found]))


def sample(pairs: pl.DataFrame, count: int, seed: int) -> pl.DataFrame:
    """At most `count` of the pairs, drawn by seed and pair, in their order."""
    if pairs.height <= count:
        return pairs
    draws = pairs.with_row_index("__row").with_columns(
        pl.col("pair_id").map_elements(lambda one: draw(seed, "benchmark", one), pl.Int64).alias("__draw")
    )
    return draws.sort("__draw").head(count).sort("__row").drop("__row", "__draw")


def test_sets(asked: argparse.Namespace, held: pl.DataFrame) -> dict[str, pl.DataFrame]:
    """What the models are measured on."""
    bar = factory.load_pairs(asked.llmbar, "llmbar")
    if "subset" in bar.columns and bar["subset"].str.starts_with("LLMBar/").any():
        bar = bar.filter(pl.col("subset").str.starts_with("LLMBar/"))
    return {HELD: held, LLMBAR: sample(bar, asked.llmbar_pairs, asked.seed)}


def settings(asked: argparse.Namespace, steps: int | None) -> list[str]:
    """The training's keys."""
    sets = [f"{name}={getattr(asked, name)}" for name in ("learning_rate", "batch_pairs", "max_length", "epochs")]
    sets += ["test_share=0", f"center_rewards_coefficient={asked.center_rewards_coefficient}", "micro_batch_pairs=4"]
    sets += ["lora.r=16"] if asked.lora else []
    return [*sets, *([f"max_steps={steps}", "epochs=1000"] if steps else [])]


def measured(asked: argparse.Namespace, model: str, name: str, tests: dict[str, pl.DataFrame]) -> dict[str, Any]:
    """The scores of one model on each test set, and what they come to."""
    found = {}
    for test, pairs in tests.items():
        place = asked.out / name / test.replace(" ", "-")
        sets = [f"max_length={asked.score_length}"] if asked.score_length else []
        done = factory.reward_score(pairs, model, place, benchmark="pairs", sets=sets, progress=for_stream(sys.stderr))
        found[test] = done.result
    return found


def run(asked: argparse.Namespace) -> dict[str, Any]:
    """Train every arm and measure it."""
    sets, held = training_sets(asked)
    tests = test_sets(asked, held)
    arms: dict[str, Any] = {}
    steps = -(-sets["both"].height // asked.batch_pairs) * asked.epochs
    for arm in asked.arms:
        wanted = settings(asked, steps if arm == "human_again" else None)
        out = asked.out / arm
        done = factory.reward_train(
            sets[arm], asked.model, out, sets=wanted, seed=asked.seed, progress=for_stream(sys.stderr)
        )
        arms[arm] = {"training": done.facts, "tests": measured(asked, str(done.model), arm, tests)}
    longer = {test: tally((len(row["chosen"]), len(row["rejected"])) for row in pairs.to_dicts())._asdict()
              for test, pairs in tests.items()}  # fmt: skip
    return {"arms": arms, "longer": longer, "exchanged": exchanged(asked)}


def exchanged(asked: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """Pairs that the first arm alone has right and that another alone has, with the two-sided sign test's p."""
    found: dict[str, dict[str, Any]] = {}
    for test in (HELD, LLMBAR):
        wins = {arm: won(asked.out / arm / test.replace(" ", "-") / "scores.parquet") for arm in asked.arms}
        first, *others = asked.arms
        for arm in others:
            lost, gained = len(wins[first] - wins[arm]), len(wins[arm] - wins[first])
            found.setdefault(arm, {})[test] = {"lost": lost, "gained": gained, "p": sign_test(lost, gained)}
    return found


def won(scores: Path) -> set[str]:
    """The pairs whose chosen reply scores strictly higher."""
    table = pl.read_parquet(scores).pivot("reply", index="id", values="score")
    return set(table.filter(pl.col("0") > pl.col("1"))["id"])


def sign_test(lost: int, gained: int) -> float:
    """How often a fair coin falls at least so unevenly."""
    n, few = lost + gained, min(lost, gained)
    return min(1.0, 2 * sum(comb(n, k) for k in range(few + 1)) / 2**n)


def markdown(found: dict[str, Any], asked: argparse.Namespace) -> str:
    """The table."""
    lines = [
        "| trained on | pairs | steps | test | n | accuracy | 95 % | gained, lost, p |",
        "|---|--:|--:|---|--:|--:|---|---|",
    ]
    for arm, values in found["arms"].items():
        facts = values["training"]
        for test, result in values["tests"].items():
            change = found["exchanged"].get(arm, {}).get(test)
            said = f"{change['gained']}, {change['lost']}, {change['p']:.2f}" if change else ""
            head = f"| {ARMS[arm]} | {facts['pairs']} | {facts['steps']} | {test} "
            lines.append(f"{head}| {result['n']} | {share(result['wins'], result['n'])} | {said} |")
    for test, result in found["longer"].items():
        lines.append(f"| (the longer reply) | | | {test} | {result['n']} | {share(result['wins'], result['n'])} | |")
    versions = ", ".join(f"{name} {version(name)}" for name in ("torch", "transformers", "trl"))
    options = {k: v for k, v in vars(asked).items() if k not in ("human", "synthetic", "llmbar", "out", "arms")}
    said = ", ".join(f"{name} {value}" for name, value in options.items())
    return "\n".join([*lines, "", f"{said}. {versions}, {platform.machine()}."])


def share(wins: int, n: int) -> str:
    """The accuracy and its interval, as two cells."""
    low, high = wilson(wins, n)
    return f"{wins / n:.3f} | {low:.3f} to {high:.3f}" if n and low is not None and high is not None else "– | –"


def main() -> None:
    """Run what is not there yet and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--human", required=True)
    parser.add_argument("--synthetic", required=True)
    parser.add_argument("--llmbar", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--arms", nargs="+", choices=list(ARMS), default=["human", "both"])
    parser.add_argument("--model", default=BUNDLED_MODEL)
    parser.add_argument("--human-pairs", type=int, default=200)
    parser.add_argument("--synthetic-pairs", type=int, default=200)
    parser.add_argument("--held-out", type=int, default=200)
    parser.add_argument("--llmbar-pairs", type=int, default=200)
    parser.add_argument(
        "--max-length", type=int, default=384, help="of a training conversation; longer ones are left out"
    )
    parser.add_argument(
        "--score-length", type=int, default=512, help="of a longer conversation the end is scored; 0: all"
    )
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--batch-pairs", type=int, default=16)
    parser.add_argument("--learning-rate", type=float, default=3e-5)
    parser.add_argument("--center-rewards-coefficient", type=float, default=0.01)
    parser.add_argument("--lora", action="store_true", help="train an adapter of rank 16 instead of all weights")
    parser.add_argument("--seed", type=int, default=42)
    asked = parser.parse_args()
    found = run(asked)
    write_json(asked.out / "results.json", found)
    print(markdown(found, asked))


if __name__ == "__main__":
    main()
