"""What local generation, scoring and training's sums ask of a device, on one that is not there (tests/elsewhere.py)."""

import pytest
import torch

from factory.config.engines import TransformersEngine
from factory.engines import transformers
from factory.engines.base import Reply, Request, ScoreRequest
from factory.engines.transformers import TransformersModel
from factory.models.load import load_model
from factory.models.ref import ModelRef
from factory.training.sso import PairLogps, Scored, Terms
from factory.training.stats import measured
from tests.elsewhere import ELSEWHERE, elsewhere, moved
from tests.tiny import tiny_model_folder

SYSTEM = {"role": "system", "content": "The engaging answer is lively, and the dull answer is not. " * 3}
QUESTIONS = ("Explain how bread rises.", "Hi", "The moon, the sea and the old sailor: a poem about all three, please.")


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("models")
    return {arch: str(tiny_model_folder(root / arch, arch)) for arch in ("llama", "mistral")}


def asked():
    """Replies of several lengths, drawn and greedy, some with a common beginning; and choices."""
    turns = [[{"role": "user", "content": text}] for text in QUESTIONS]
    turns += [[SYSTEM, *one] for one in turns]
    requests = [Request(f"r/{n}", one, 6 + n, n % 3 * 0.5, 0.9, seed=n) for n, one in enumerate(turns)]
    return [*requests, Request("c", turns[0], 5, choices=("m", "M"))]


def said(folder, device, dtype):
    """All completions and scores."""
    engine = TransformersModel(TransformersEngine(device=device, dtype=dtype), ModelRef(folder))
    replies = (Reply("It is baked.", True), Reply("The moon, the sea", False))
    scores = [ScoreRequest(one.id, one.messages, replies) for one in asked()]
    return [{one.id: one for one in found} for found in (engine.generate(asked()), engine.score(scores))]


@pytest.mark.parametrize("arch", ["llama", "mistral"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_gpu_says_what_the_cpu_says(folders, arch, dtype, monkeypatch):
    """Whatever its kernels' memory order, with no tensor left on the CPU and none of float64."""
    here = said(folders[arch], "cpu", dtype)
    assert not [one.error for found in here for one in found.values() if one.error]
    monkeypatch.setattr(transformers, "load_model", lambda ref, device, dtype: moved(load_model(ref, "cpu", dtype)))
    # Queries cut as on the CPU: longer products would round otherwise.
    monkeypatch.setattr("factory.engines.batch_invariant.GPU_CHUNK", 16)
    with elsewhere():
        there = said(folders[arch], str(ELSEWHERE), dtype)
    assert there == here


def test_a_training_step_is_watched_on_any_device():
    with elsewhere():
        one = torch.tensor([-1.0, -2.0], device=ELSEWHERE)
        logps = PairLogps(Scored(one, one.abs()), Scored(one, one.abs()))
        found = measured(Terms(one, one, one, one), logps, 7)
    assert found.dtype == torch.float64
    assert found[:3].tolist() == [2.0, 7.0, -3.0]


def test_the_device_that_is_not_there_refuses_what_a_real_one_would():
    with elsewhere():
        tensor = torch.ones(2, device=ELSEWHERE)
        with pytest.raises(RuntimeError, match="on one device"):
            tensor + torch.ones(2)
        with pytest.raises(TypeError, match="float64"):
            tensor.double()
        with pytest.raises(TypeError, match="float64"):
            torch.tensor([1.0], dtype=torch.float64, device=ELSEWHERE)
        attention = torch.nn.functional.scaled_dot_product_attention(*[torch.ones(2, 3, 4, 8, device=ELSEWHERE)] * 3)
    meta = [torch.ones(2, 3, 4, 8, device="meta")] * 3
    declared = torch.ops.aten._scaled_dot_product_efficient_attention(*meta, None, False)[0]
    assert attention.stride() == declared.stride() == (96, 8, 24, 1)
