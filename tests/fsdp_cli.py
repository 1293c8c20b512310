"""The command line as one of several processes whose model accelerate shards with FSDP2, on the CPU.

accelerate shards on accelerators alone: told that the processes drive one, on the device cpu, it does here all it does
there, and so does transformers' Trainer. NOTE names files that get what each process really ran.
"""

import json
import os
from pathlib import Path
from typing import Any

import torch
import transformers.training_args
from accelerate.state import PartialState
from accelerate.utils import DistributedType

from factory.cli import main
from factory.training.policy_trainer import PolicyTrainer

_STEP = PolicyTrainer.training_step


def _noting(self: PolicyTrainer, model: Any, *rest: Any) -> Any:
    state = self.accelerator.state
    sharded = sum(type(parameter).__name__ == "DTensor" for parameter in model.parameters())
    found = {"world": state.num_processes, "type": str(state.distributed_type.value), "sharded": sharded}
    micros = self._share(self.train_dataset[0])
    found["micro_batches"] = [len(micro.examples) for micro in micros]
    with torch.no_grad(), self.compute_loss_context_manager():
        sums = model(self._batch([item for example in micros[0].examples for item in example.items]))
    found["rounded"] = bool((sums == sums.bfloat16().float()).all())
    Path(f"{os.environ['NOTE']}.{state.process_index}.json").write_text(json.dumps(found))
    return _STEP(self, model, *rest)


if __name__ == "__main__":
    os.environ["ACCELERATE_TORCH_DEVICE"] = "cpu"
    PartialState._prepare_backend = lambda *_, **__: ("gloo", DistributedType.MULTI_GPU)
    transformers.training_args.is_torch_bf16_gpu_available = lambda: True
    PolicyTrainer.training_step = _noting
    main()
