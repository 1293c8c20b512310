"""What the backward pass computes again, counted in matrix products."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from factory.errors import ConfigError
from factory.models.load import load_model
from factory.models.ref import ModelRef
from factory.training.activation_checkpointing import KEEP, activation_checkpointing, keep_up_to
from tests.tiny import tiny_model_folder


class Counting(TorchDispatchMode):
    def __init__(self):
        super().__init__()
        self.products = self.activations = 0

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        self.products += operation is torch.ops.aten.mm.default
        self.activations += operation is torch.ops.aten.silu.default
        return operation(*args, **(kwargs or {}))


@pytest.fixture
def counted(tmp_path):
    folder = tiny_model_folder(tmp_path / "tiny")

    def count(what, device="cpu", processes=1, tokens=17):
        model = load_model(ModelRef(str(folder)), "cpu", torch.float32).train()
        keep_up_to(model, activation_checkpointing(model, what, device, processes), tokens)
        with Counting() as counting:
            model(input_ids=torch.arange(3, 20)[None], use_cache=False).logits.sum().backward()
        return counting.products, counting.activations, model.lm_head.weight.grad

    return count


def test_products_are_kept_and_what_is_cheap_is_not(counted):
    """Two layers of seven products; again: keys and values, which narrow (32 to 16), but not down (64 to 32)."""
    everything, selective, inputs = counted(False), counted("selective"), counted(True)
    assert everything[1] == 2
    assert selective[1] == inputs[1] == 4
    assert selective[0] - everything[0] == 2 * 2
    assert inputs[0] - everything[0] == 2 * 6  # all but down, whose result nobody asks for
    assert counted("auto", "cpu", processes=2)[:2] == inputs[:2]
    assert counted("auto", "cpu", tokens=KEEP)[:2] == counted("by_view")[:2] == everything[:2]
    assert counted("auto", "cpu", tokens=KEEP + 1)[:2] == inputs[:2]
    assert counted("auto", "cuda")[:2] == selective[:2]
    assert torch.equal(selective[2], everything[2])
    assert torch.equal(inputs[2], everything[2])


def test_a_model_that_knows_no_recomputation_keeps_everything(tmp_path):
    model = load_model(ModelRef(str(tiny_model_folder(tmp_path / "tiny"))))
    model.supports_gradient_checkpointing = False
    activation_checkpointing(model, "selective")
    activation_checkpointing(model, "auto")
    with pytest.raises(ConfigError, match="use selective or false"):
        activation_checkpointing(model, True)
    keep_up_to(model, activation_checkpointing(model, "auto"), KEEP + 1)


def test_by_view_is_refused_where_processes_would_make_unlike_many_passes(tmp_path):
    model = load_model(ModelRef(str(tiny_model_folder(tmp_path / "tiny"))))
    with pytest.raises(ConfigError, match="one process"):
        activation_checkpointing(model, "by_view", processes=2)
