"""What each part of the SSO loss does to a policy: the same triples for every method, teacher-forced, paired by seed.

    python benchmarks/mechanism.py --out runs/mechanism                     everything that is not there yet
    python benchmarks/mechanism.py --out runs/mechanism --arms sso pbaa --seeds 1 2
    python benchmarks/mechanism.py --out runs/mechanism --tune              the learning rates tried on seed 0
    python benchmarks/mechanism.py --out runs/mechanism --report docs       results, page and figure of what is there
    python benchmarks/mechanism.py --report docs                            page and figure from the results kept here
    python benchmarks/mechanism.py --report docs --behaviour runs/replies   with the behaviour of another folder's cells

The start policy makes all triples once. A cell is an arm and a seed, and OUT/cells gets a JSON file for each, so that
a process that is killed loses one cell. The same command may run several times at once: each takes cells that no other
is at. The design is in docs/replication.md and was written before the runs.
"""

import argparse
import fcntl
import json
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

import polars as pl

ROOT = Path(__file__).parent.parent
sys.path[0] = str(ROOT)

from benchmarks.mechanism_measures import behaviour, lengths, teacher_forced, written
from benchmarks.mechanism_pool import asked, make
from benchmarks.mechanism_report import NAME, write_report
from factory.config import BUNDLED_MODEL, Training
from factory.config.engines import TransformersEngine
from factory.identity import draw
from factory.models.ref import ModelRef
from factory.store import write_json
from factory.training import TrainingJob
from factory.training.run import train

MAIN: dict[str, dict[str, Any]] = {
    "sso": {"method": "sso"},
    "sso_no_w": {"method": "sso_no_w"},
    "sso_no_g": {"method": "sso_no_g"},
    "pbaa": {"method": "pbaa"},
}
DOSES: dict[str, dict[str, Any]] = {
    "gamma_1": {"method": "sso", "gamma": 1.0},
    "gamma_5": {"method": "sso", "gamma": 5.0},
    "naive": {"method": "sso", "steering": "naive"},
    "alpha_0": {"method": "sso", "alpha": 0.0},
    "alpha_1": {"method": "sso", "alpha": 1.0},
    "share": {"method": "sso", "steering_share": 0.25},
    "no_w_gamma_1": {"method": "sso_no_w", "gamma": 1.0},
    "no_w_gamma_5": {"method": "sso_no_w", "gamma": 5.0},
}
ARMS = MAIN | DOSES
"""What each arm sets beside the defaults; gamma 0 is sso_no_g, gamma 0.1 and alpha 0.66 are sso."""
RATES = (5e-5, 2e-5, 1e-5)
"""Tried in this order on seed 0; the first that passes is taken."""
POOL_TOKENS = {"cpu": 16384, "cuda": 400_000}
POLICY_TOKENS = {"cpu": 16384, "cuda": 50_000}
"""Tokens in flight at once: of the pool, made by one process, and of a policy, which may be one of several on a GPU."""

OF_TRAINING = {"pairs", "batch_pairs", "learning_rate", "gamma", "beta"}
"""What of a plan the start policy does not depend on."""


class Plan(NamedTuple):
    """The size of the experiment; all of it is in each cell."""

    model: str = BUNDLED_MODEL
    device: str = "cpu"
    pairs: int = 12
    """Training pairs of a seed and iteration; no two seeds share one."""
    batch_pairs: int = 3
    iterations: int = 1
    held_out: int = 24
    """Triples that every policy is measured on."""
    prompts: int = 8
    """Held-out prompts that every policy answers by itself, for the length."""
    replies: int = 0
    """Replies a view for the endpoint of behaviour; 0 leaves it out."""
    behaviour_prompts: int = 64
    tokens: int = 40
    learning_rate: float = 2e-5
    gamma: float = 0.1
    beta: float = 0.2

    @property
    def sampler(self) -> TransformersEngine:
        """bfloat16 for the pool: a text is a text, and it is written in half the time."""
        return TransformersEngine(device=self.device, dtype="bfloat16", batch_tokens=POOL_TOKENS[self.device])

    @property
    def engine(self) -> TransformersEngine:
        """float32 throughout: in bfloat16 the weights' changes are lost in rounding."""
        return TransformersEngine(device=self.device, dtype="float32", batch_tokens=POLICY_TOKENS[self.device])


def once(path: Path, produce: Callable[[], pl.DataFrame]) -> pl.DataFrame:
    """The table at `path`, made when it is not there."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_suffix(".draft")
        produce().write_parquet(draft)
        draft.rename(path)
    return pl.read_parquet(path)


def scored(pairs: pl.DataFrame, policy: ModelRef, plan: Plan) -> pl.DataFrame:
    """`pairs` with pi~ under `policy`: the reference of a training that begins there."""
    return pairs.join(teacher_forced(pairs, policy, plan.device), on="pair_id", maintain_order="left")


def pool(out: Path, plan: Plan, seeds: int) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Held-out and training triples with the start policy's log-probabilities; seed s has the s-th portion.

    Of several processes the first makes them, and the others wait.
    """
    with claimed(out / "lock", wait=True):
        return _pool(out, plan, seeds)


def _pool(out: Path, plan: Plan, seeds: int) -> tuple[pl.DataFrame, pl.DataFrame]:
    start = ModelRef(plan.model)
    tables = []
    for name, count in (("held_out", plan.held_out), ("training", plan.pairs * (seeds + 1))):
        held = name == "held_out"
        wanted = asked(held, count + count // 10 + 6, 1)  # a few replies are the same twice
        made = once(out / f"{name}.parquet", lambda w=wanted: make(w, start, plan.sampler, plan.tokens, 1))
        if len(made) < count:
            raise SystemExit(
                f"{out / name}.parquet has {len(made)} triples and {count} are asked for; use another --out"
            )
        tables.append(once(out / f"{name}-{count}.parquet", lambda t=made[:count]: scored(t, start, plan)))
    return tables[0], tables[1]


def portion(training: pl.DataFrame, seed: int, iteration: int, policy: ModelRef, plan: Plan) -> pl.DataFrame:
    """The pairs of an iteration: those of the pool in the first, the policy's own replies afterwards."""
    if iteration == 1:
        return training[seed * plan.pairs : (seed + 1) * plan.pairs]
    wanted = asked(False, plan.pairs, draw(seed, "iteration", iteration))
    return scored(make(wanted, policy, plan.engine, plan.tokens, seed), policy, plan)


def trained(
    policy: ModelRef, pairs: pl.DataFrame, out: Path, arm: str, seed: int, iteration: int, plan: Plan
) -> ModelRef:
    """The next policy; `out` holds it until its arm and seed are through."""
    done = out / "policy" / "policy.json"
    if not done.exists():
        shutil.rmtree(out, ignore_errors=True)
        settings = {
            "learning_rate": plan.learning_rate,
            "lr_scheduler": "constant",
            "warmup_ratio": 0.0,
            "batch_pairs": plan.batch_pairs,
            "micro_batch_tokens": 2048 if plan.device == "cpu" else 4096,
            "gradient_checkpointing": False,
            "gamma": plan.gamma,
            "beta": plan.beta,
            "dtype": "float32",
            "save_steps": 1000,
            **ARMS[arm],
        }
        train(TrainingJob(pairs, policy, out, Training(**settings), draw(seed, "train", iteration), iteration))
    return ModelRef(str(out / "policy"), fingerprint=json.loads(done.read_text("utf-8"))["fingerprint"])


def measures(policy: ModelRef, held_out: pl.DataFrame, plan: Plan, behaves: bool) -> dict[str, Any]:
    """The endpoints of a policy: each triple's pi~, the length of its own replies and, where asked for, behaviour."""
    forced = held_out.select("pair_id").join(
        teacher_forced(held_out, policy, plan.device), on="pair_id", maintain_order="left"
    )
    found: dict[str, Any] = {
        "logps": {name: [round(value, 5) for value in forced[name]] for name in forced.columns if name != "pair_id"},
        "lengths": lengths(policy, plan.engine, plan.prompts, 2 * plan.tokens),
    }
    if behaves:
        found["behaviour"] = behaviour(policy, plan.engine, plan.behaviour_prompts, plan.replies, plan.tokens)
    return found


def run(out: Path, arm: str, seed: int, plan: Plan, tables: tuple[pl.DataFrame, pl.DataFrame]) -> None:
    """All iterations of an arm and seed whose cells are not there yet."""
    held_out, training = tables
    policy, place = ModelRef(plan.model), out / "policies" / f"{arm}-{seed}"
    cells = [out / "cells" / f"{arm}-{seed}-{iteration}.json" for iteration in range(1, plan.iterations + 1)]
    if all(finished(cell, plan, cell == cells[-1]) for cell in cells):
        return
    for iteration, cell in enumerate(cells, 1):
        began = time.monotonic()
        before = policy
        pairs = once(
            place / f"pairs-{iteration}.parquet",
            lambda i=iteration, p=before: portion(training, seed, i, p, plan),
        )
        policy = trained(policy, pairs, place / str(iteration), arm, seed, iteration, plan)
        last = iteration == plan.iterations
        if not finished(cell, plan, last):
            cell.parent.mkdir(parents=True, exist_ok=True)
            facts = {"arm": arm, "seed": seed, "iteration": iteration, "plan": plan._asdict()}
            if iteration > 1:
                facts["made"] = written(pairs)
            write_json(cell, {**facts, **measures(policy, held_out, plan, last and plan.replies > 0)})
        print(f"{arm} seed {seed} iteration {iteration}: {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    shutil.rmtree(place, ignore_errors=True)  # half a gigabyte a policy that nothing reads again


@contextmanager
def claimed(place: Path, wait: bool = False) -> Iterator[bool]:
    """Whether nobody else is at `place`, at last or at once; nobody else gets it until this is left, or we end."""
    place.parent.mkdir(parents=True, exist_ok=True)
    with place.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            yield False
        else:
            yield True


def finished(cell: Path, plan: Plan, last: bool) -> bool:
    """Whether a cell holds all that is asked for, of the last iteration behaviour as well.

    One of another plan is an error, so that plans never mix.
    """
    if not cell.exists():
        return False
    found = json.loads(cell.read_text("utf-8"))
    free = {"iterations", "replies", "device", "model"} | (set() if found["iteration"] else OF_TRAINING)
    other = [name for name, value in plan._asdict().items() if name not in free and found["plan"][name] != value]
    if other:
        raise SystemExit(f"{cell} was made with another {', '.join(other)}; use another --out")
    return not (last and plan.replies) or found.get("behaviour", {}).get("replies") == plan.replies


def start_cell(out: Path, plan: Plan, held_out: pl.DataFrame) -> None:
    """The start policy as a cell of its own: what all lengths are compared with."""
    cell = out / "cells" / "start-0-0.json"
    if not finished(cell, plan, last=True):
        cell.parent.mkdir(parents=True, exist_ok=True)
        facts = {"arm": "start", "seed": 0, "iteration": 0, "plan": plan._asdict()}
        facts["features"] = held_out["feature"].to_list()
        write_json(cell, {**facts, **measures(ModelRef(plan.model), held_out, plan, plan.replies > 0)})


def tune(out: Path, plan: Plan, tables: tuple[pl.DataFrame, pl.DataFrame]) -> None:
    """Say the first of the rates at which replies keep half their length under pbaa, which has nothing to hold it."""
    for rate in RATES:
        run(out / f"rate-{rate:g}", "pbaa", 0, plan._replace(learning_rate=rate), tables)
        before, after = (
            fmean(json.loads((out / path).read_text("utf-8"))["lengths"]["tokens"])
            for path in ("cells/start-0-0.json", f"rate-{rate:g}/cells/pbaa-0-1.json")
        )
        print(f"learning rate {rate:g}: {after:.1f} tokens a reply, {before:.1f} before", file=sys.stderr, flush=True)
        if after >= before / 2:
            return


def main() -> None:
    """Run what is asked for, or report on what is there."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--arms", nargs="+", choices=ARMS, help="default: the four methods, then the doses")
    parser.add_argument("--seeds", nargs="+", type=int, help="default: 1 to 7 for the methods, 1 to 3 for the doses")
    parser.add_argument("--pool-seeds", type=int, default=8, help="seeds that the pool of triples has pairs for")
    parser.add_argument("--report", type=Path, help="folder of replication.md and mechanism.png; runs nothing")
    parser.add_argument("--behaviour", type=Path, help="folder of an experiment with --replies, for the report")
    parser.add_argument("--name", default=NAME, help="of results file, marks and figure")
    parser.add_argument("--tune", action="store_true", help=f"learning rates {RATES} on seed 0, pbaa")
    for name, value in Plan._field_defaults.items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(value), default=value)
    given = parser.parse_args()
    if given.report:
        write_report(given.out, given.behaviour, given.report, given.name)
        return
    if given.out is None:
        parser.error("--out is needed to run anything")
    plan = Plan(**{name: getattr(given, name) for name in Plan._fields})
    tables = pool(given.out, plan, given.pool_seeds)
    with claimed(given.out / "locks" / "start") as mine:
        if mine:
            start_cell(given.out, plan, tables[0])
    if given.tune:
        tune(given.out, plan, tables)
        return
    for arms, seeds in ((MAIN, range(1, 8)), (DOSES, range(1, 4))):
        order = [(arm, seed) for seed in given.seeds or seeds for arm in arms if not given.arms or arm in given.arms]
        for arm, seed in order:
            with claimed(given.out / "locks" / f"{arm}-{seed}") as mine:
                if mine:
                    run(given.out, arm, seed, plan, tables)


if __name__ == "__main__":
    main()
