"""Training in several processes, and training that is really killed."""

import json
import signal
import subprocess
import time
from pathlib import Path

import pytest
from safetensors.torch import load_file

from factory.training.stats import MetricsFile
from tests.launching import command, environment
from tests.launching import run as launched
from tests.training_pairs import scored_pairs, tiny_policy

pytestmark = [pytest.mark.integration, pytest.mark.slow]
CONFIG = {
    "learning_rate": 1e-4,
    "max_grad_norm": 1e9,  # clipping would hide a wrong scale
    "batch_pairs": 11,  # the last step of an epoch has one pair, and so one process none
    "micro_batch_tokens": 600,
    "epochs": 2,
    "warmup_ratio": 0.0,
    "trainer_options": {"optim": "sgd"},
}


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    folder = tmp_path_factory.mktemp("given")
    scored_pairs().write_parquet(folder / "pairs.parquet")
    return tiny_policy(folder).name, str(folder / "pairs.parquet")


def run(launcher, module, *arguments):
    done = launched(launcher, module, *arguments)
    assert done.returncode == 0, done.stderr[-3000:]


def topology(out):
    return [json.loads(path.read_text()) for path in sorted(out.parent.glob(f"{out.name}.*.json"))]


def distance(one, other):
    first, second = (load_file(out / "policy" / "model.safetensors") for out in (one, other))
    assert first.keys() == second.keys()
    return max((first[name] - second[name]).abs().max().item() for name in first)


@pytest.mark.parametrize("launcher", ["torchrun", "accelerate"])
def test_two_processes_end_in_the_weights_of_one(given, tmp_path, launcher):
    run("alone", "tests.training_job", *given, str(tmp_path / "one"), json.dumps(CONFIG))
    run(launcher, "tests.training_job", *given, str(tmp_path / "two"), json.dumps(CONFIG))
    assert topology(tmp_path / "one") == [{"world": 1, "backend": None, "wrapper": "LlamaForCausalLM"}]
    assert topology(tmp_path / "two") == [
        {"world": 2, "backend": "gloo", "wrapper": "DistributedDataParallel"},
        {"world": 2, "backend": "gloo", "wrapper": "DistributedDataParallel"},
    ]
    assert distance(tmp_path / "one", tmp_path / "two") < 1e-5
    one, two = (MetricsFile(tmp_path / name / "metrics.jsonl").read() for name in ("one", "two"))
    assert [line["pairs"] for line in two] == [line["pairs"] for line in one] == [11, 1, 11, 1]
    assert [line["loss"] for line in two] == pytest.approx([line["loss"] for line in one], abs=1e-5)
    moved = load_file(tmp_path / "two" / "policy" / "model.safetensors")
    start = load_file(Path(given[0]) / "model.safetensors")
    assert max((moved[name] - start[name]).abs().max().item() for name in start) > 1e-3


def test_killed_by_the_system_it_goes_on_to_the_same_weights(given, tmp_path):
    config = json.dumps({**CONFIG, "epochs": 20, "save_steps": 3, "trainer_options": {}})
    run("alone", "tests.training_job", *given, str(tmp_path / "unbroken"), config)
    arguments = command("alone", "tests.training_job", *given, str(tmp_path / "killed"), config)
    process = subprocess.Popen(arguments, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 1800
    while not list((tmp_path / "killed").glob("checkpoint-*/trainer_state.json")):
        assert process.poll() is None, "it ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not (tmp_path / "killed" / "policy" / "policy.json").exists()
    run("alone", "tests.training_job", *given, str(tmp_path / "killed"), config)
    assert distance(tmp_path / "unbroken", tmp_path / "killed") == 0
    one, other = (MetricsFile(tmp_path / name / "metrics.jsonl").read() for name in ("unbroken", "killed"))
    assert one == other
    assert len(one) == 40
