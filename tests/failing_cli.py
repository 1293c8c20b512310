"""The command line, with a training that goes wrong in one process: tests.failing_cli ARGUMENTS.

FAIL_AT names the optimiser step, FAIL_RANK the process, FAIL_HOW what happens there: error or kill.
"""

import os
import signal
from typing import Any

from factory.cli import main
from factory.errors import TrainingError
from factory.training.policy_trainer import PolicyTrainer

_STEP = PolicyTrainer.training_step


def _failing(self: PolicyTrainer, *rest: Any) -> Any:
    here = self.accelerator.process_index == int(os.environ["FAIL_RANK"])
    if here and self.state.global_step == int(os.environ["FAIL_AT"]):
        if os.environ["FAIL_HOW"] == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        raise TrainingError("the disk of this process is full")
    return _STEP(self, *rest)


if __name__ == "__main__":
    PolicyTrainer.training_step = _failing
    main()
