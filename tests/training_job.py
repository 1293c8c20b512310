"""One process of a training, for tests that start several or kill one: tests.training_job POLICY PAIRS OUT CONFIG."""

import json
import sys
from pathlib import Path

import polars as pl
import torch

from factory.config import Training
from factory.models.ref import ModelRef
from factory.training.policy_trainer import PolicyTrainer
from factory.training.run import train
from tests.leaving import leave_after


def _note_topology(out: Path) -> None:
    """Leave beside `out` what each process really ran: a launcher that starts one process for two says nothing."""
    step = PolicyTrainer.training_step

    def noting(self: PolicyTrainer, model: torch.nn.Module, *rest: object) -> torch.Tensor:
        state = self.accelerator.state
        found = {"world": state.num_processes, "backend": state.backend, "wrapper": type(model).__name__}
        out.with_name(f"{out.name}.{state.process_index}.json").write_text(json.dumps(found))
        return step(self, model, *rest)

    PolicyTrainer.training_step = noting


def main() -> None:
    torch.set_num_threads(1)
    policy, pairs, out, config = sys.argv[1:]
    _note_topology(Path(out))
    table = pl.read_parquet(pairs)
    train(table, ModelRef(policy), Path(out), Training(**json.loads(config)), seed=1, iteration=1)


if __name__ == "__main__":
    leave_after(main)
