"""One of several processes with a model sharded by FSDP2 on the CPU: python -m tests.sharded_job POLICY OUT.

accelerate knows FSDP on accelerators alone, so the model is sharded here by torch itself, as accelerate would do it.
"""

import sys

import torch
import torch.distributed as dist
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor

from factory.config import Training
from factory.engines.base import ModelRef
from factory.models.load import load_model, load_tokenizer
from factory.models.sequences import plan_for
from factory.models.shared_prompt import kernel
from factory.training.batches import MicroBatch, tensors
from factory.training.data import Reader, encode
from factory.training.methods import method_of
from factory.training.policy_trainer import Objective, score_replies
from tests.leaving import leave_after
from tests.training_pairs import scored_pairs


def main() -> None:
    torch.set_num_threads(1)
    policy, out = ModelRef(sys.argv[1]), sys.argv[2]
    dist.init_process_group("gloo")
    model = load_model(policy, "cpu", torch.float32)
    method = method_of(Training())
    objective = Objective(method, plan_for(model), 16, 8192, 0)
    score_replies(model, objective)
    mesh = torch.distributed.init_device_mesh("cpu", (dist.get_world_size(),))
    for layer in model.model.layers:
        fully_shard(layer, mesh=mesh)
    fully_shard(model, mesh=mesh)
    assert all(isinstance(parameter, DTensor) for parameter in model.parameters())
    reader = Reader(method.needed, load_tokenizer(policy), False, 512)
    examples = encode(scored_pairs(4), reader).examples[dist.get_rank() :: 2]
    with kernel(model):
        sums = model(tensors(MicroBatch(tuple(examples)), objective.plan.layout, 0))
        sums.sum().backward()
    gradients = {name: parameter.grad.full_tensor() for name, parameter in model.named_parameters()}
    torch.save(
        {"sums": sums.detach(), "gradients": gradients, "world": dist.get_world_size()}, f"{out}.{dist.get_rank()}"
    )


if __name__ == "__main__":
    leave_after(main)
