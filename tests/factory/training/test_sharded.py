"""Training a model that is sharded over two processes ends in what one process ends in, saved whole."""

import json

import pytest
import torch
from safetensors.torch import load_file

from tests.launching import run
from tests.training_pairs import scored_pairs, tiny_policy

pytestmark = [pytest.mark.integration, pytest.mark.slow]
SETTINGS = {
    "method": "sso",
    "learning_rate": "1e-4",
    "max_grad_norm": "60",  # below the norms of these gradients, so that clipping is seen to be of the whole
    "batch_pairs": "11",  # the last step has one pair, and so one process none
    "micro_batch_tokens": "600",
    "epochs": "2",
    "warmup_ratio": "0",
    "logits_chunk": "50",  # processes need unlike numbers of chunks
    "trainer_options.optim": "sgd",
}
ON = {"trainer_options.use_cpu": "false"}  # an accelerator, accelerate thinks; see tests/fsdp_cli.py
OPTION = {**ON, "trainer_options.fsdp": "true", "gradient_checkpointing": "selective"}


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    folder = tmp_path_factory.mktemp("given")
    scored_pairs().write_parquet(folder / "pairs.parquet")
    return folder / "pairs.parquet", tiny_policy(folder).name


def train(given, out, launcher, **more):
    pairs, policy = given
    sets = [f"--set={key}={value}" for key, value in {**SETTINGS, **more}.items()]
    line = ["train", str(pairs), "--policy", policy, "--out", str(out), *sets]
    module = "factory.cli" if launcher == "alone" else "tests.fsdp_cli"
    done = run(launcher, module, *line, NOTE=str(out.with_name("note")))
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.fixture(scope="module")
def alone(given, tmp_path_factory):
    out = tmp_path_factory.mktemp("alone") / "out"
    train(given, out, "alone")
    return out


def metrics(out):
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.parametrize(
    ("launcher", "how"), [("torchrun", OPTION), ("fsdp", {**ON, "gradient_checkpointing": "true"})]
)
def test_fsdp_ends_in_the_weights_of_one_process(given, alone, tmp_path, launcher, how):
    out = tmp_path / "out"
    train(given, out, launcher, **how)
    notes = [json.loads((tmp_path / f"note.{rank}.json").read_text()) for rank in (0, 1)]
    whole, found = (load_file(path / "policy" / "model.safetensors") for path in (alone, out))
    for note in notes:
        assert note["world"] == 2
        assert note["type"] == "FSDP"
        assert note["sharded"] == len(whole)
    assert notes[0]["micro_batches"] != notes[1]["micro_batches"]
    assert found.keys() == whole.keys()
    assert max((found[name] - whole[name]).abs().max().item() for name in whole) < 1e-6
    files = [{path.name for path in (folder / "policy").iterdir()} for folder in (alone, out)]
    assert files[0] == files[1]
    for name in ("loss", "margin", "grad_norm"):
        assert [line[name] for line in metrics(out)] == pytest.approx([line[name] for line in metrics(alone)], abs=1e-3)
    assert min(line["grad_norm"] for line in metrics(alone)) > 60


def test_fsdp_in_bfloat16_sums_log_probabilities_in_float32(given, tmp_path):
    """Rounded to bfloat16 the sum over a reply would be off by half a nat or more."""
    train(given, tmp_path / "out", "torchrun", **OPTION, dtype="bfloat16")
    notes = [json.loads((tmp_path / f"note.{rank}.json").read_text()) for rank in (0, 1)]
    assert [note["rounded"] for note in notes] == [False, False]
    assert {value.dtype for value in load_file(tmp_path / "out" / "policy" / "model.safetensors").values()} == {
        torch.float32
    }
