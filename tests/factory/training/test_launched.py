"""`sso-factory train` as one of two processes that a launcher started."""

import fcntl
import json
from pathlib import Path

import pytest
from safetensors.torch import load_file

from tests.launching import run
from tests.training_pairs import scored_pairs, tiny_policy

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]
SETTINGS = {
    "method": "sso",
    "learning_rate": "1e-4",
    "max_grad_norm": "1e9",  # clipping would hide a wrong scale
    "batch_pairs": "5",
    "micro_batch_tokens": "600",
    "warmup_ratio": "0",
    "save_steps": "1",
    "trainer_options.optim": "sgd",
}


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    folder = tmp_path_factory.mktemp("given")
    scored_pairs().write_parquet(folder / "pairs.parquet")
    return folder / "pairs.parquet", tiny_policy(folder).name


def arguments(given, out, **more):
    pairs, policy = given
    sets = [f"--set={key}={value}" for key, value in {**SETTINGS, **more}.items()]
    return ["train", str(pairs), "--policy", policy, "--out", str(out), *sets]


def said(done):
    """What our processes said of it; launchers add a report of their own."""
    return [line for line in done.stderr.splitlines() if line.startswith("sso-factory:")]


@pytest.fixture(scope="module")
def alone(given, tmp_path_factory):
    out = tmp_path_factory.mktemp("alone") / "out"
    done = run("alone", "factory.cli", *arguments(given, out))
    assert done.returncode == 0, done.stderr[-3000:]
    return out


def distance(one, other):
    first, second = (load_file(out / "policy" / "model.safetensors") for out in (one, other))
    assert first.keys() == second.keys()
    return max((first[name] - second[name]).abs().max().item() for name in first)


@pytest.mark.parametrize("launcher", ["torchrun", "accelerate"])
def test_two_processes_leave_what_one_leaves(given, alone, tmp_path, launcher):
    out = tmp_path / "out"
    done = run(launcher, "factory.cli", *arguments(given, out))
    assert done.returncode == 0, done.stderr[-3000:]
    assert distance(alone, out) < 1e-5
    start = load_file(Path(given[1]) / "model.safetensors")
    moved = load_file(out / "policy" / "model.safetensors")
    assert max((moved[name] - start[name]).abs().max().item() for name in start) > 1e-3
    assert {path.name for path in out.iterdir()} == {path.name for path in alone.iterdir()}
    facts = [json.loads((path / "train.manifest.json").read_text())["facts"] for path in (alone, out)]
    assert facts[1]["steps"] == facts[0]["steps"] == 3
    assert facts[1]["loss"] == pytest.approx(facts[0]["loss"], abs=1e-5)
    assert done.stdout.count("fingerprint") == 1  # process 0 alone tells
    assert sum(line.startswith("train: done in") for line in done.stderr.splitlines()) == 1
    again = run(launcher, "factory.cli", *arguments(given, out))
    assert again.returncode == 0, again.stderr[-3000:]
    assert "train: done before, reused" in again.stderr


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ({"nokey": "1"}, "the key nokey is unknown"),  # before anything is read
        ({"max_length": "3"}, "no pair can be trained on"),  # in every process, after the word
    ],
)
def test_what_all_processes_find_wrong_is_said_once(given, tmp_path, more, sentence):
    done = run("torchrun", "factory.cli", *arguments(given, tmp_path / "out", **more))
    assert done.returncode == 1  # the launcher's own; ours, 2, is in its report
    assert "exitcode  : 2" in done.stderr
    (line,) = said(done)
    assert sentence in line
    assert "/factory/" not in done.stderr  # no traceback of ours


def test_what_process_0_alone_finds_wrong_ends_all(given, alone):
    with (alone / ".lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = run("torchrun", "factory.cli", *arguments(given, alone))
    assert done.returncode == 1
    (line,) = said(done)
    assert "is in use by" in line


@pytest.mark.parametrize(("rank", "how"), [(0, "error"), (1, "error"), (1, "kill")])
def test_a_process_that_fails_ends_all_and_the_same_command_goes_on(given, alone, tmp_path, rank, how):
    out = tmp_path / "out"
    fail = {"FAIL_AT": "2", "FAIL_RANK": str(rank), "FAIL_HOW": how}
    done = run("torchrun", "tests.failing_cli", *arguments(given, out), **fail)
    assert done.returncode == 1
    lines = said(done)
    if how == "error":
        assert lines == ["sso-factory: the disk of this process is full"]
    else:
        assert len(lines) <= 1
        assert all("another process of this training has ended" in line or "stopped" in line for line in lines)
    assert "/factory/" not in done.stderr  # no traceback of ours
    assert not (out / "policy").exists()
    again = run("torchrun", "factory.cli", *arguments(given, out))
    assert again.returncode == 0, again.stderr[-3000:]
    assert json.loads((out / "train.manifest.json").read_text())["facts"]["resumed_at"] == 2
    assert distance(alone, out) < 1e-5


def test_a_run_is_for_one_process(tmp_path):
    fleet = {"WORLD_SIZE": "2", "RANK": "0", "MASTER_ADDR": "127.0.0.1"}
    done = run("alone", "factory.cli", "run", "examples/quickstart.yaml", "--run-dir", str(tmp_path / "run"), **fleet)
    assert done.returncode == 2
    assert said(done) == ["sso-factory: run is for one process and 2 were launched; only train is for several"]
    assert not (tmp_path / "run").exists()
