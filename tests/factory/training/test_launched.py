"""`sso-factory train` as one of two processes that a launcher started."""

import contextlib
import fcntl
import json
import os
import subprocess
import time
from pathlib import Path

import pytest
from safetensors.torch import load_file

from factory.training.stats import MetricsFile
from tests.launching import ROOT, command, environment, run
from tests.packages import package
from tests.training_pairs import scored_pairs, tiny_policy

pytestmark = [pytest.mark.integration, pytest.mark.slow]
SETTINGS = {
    "method": "sso",
    "learning_rate": "1e-4",
    "max_grad_norm": "1e9",  # clipping would hide a wrong scale
    "batch_pairs": "11",  # the last step of an epoch has one pair, and so one process none
    "micro_batch_tokens": "600",
    "epochs": "2",
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
    assert facts[1]["steps"] == facts[0]["steps"] == 4
    one, two = (MetricsFile(path / "metrics.jsonl").read() for path in (alone, out))
    assert [line["pairs"] for line in two] == [line["pairs"] for line in one] == [11, 1, 11, 1]
    assert [line["loss"] for line in two] == pytest.approx([line["loss"] for line in one], abs=1e-5)
    assert done.stdout.count("fingerprint") == 1  # process 0 alone tells
    assert sum(line.startswith("train: done in") for line in done.stderr.splitlines()) == 1
    again = run("torchrun", "factory.cli", *arguments(given, out))
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


STARTED = {"launch.processes": "2"}


def test_processes_that_training_starts_leave_what_one_leaves(given, alone, tmp_path):
    out = tmp_path / "out"
    done = run("alone", "factory.cli", *arguments(given, out, **STARTED))
    assert done.returncode == 0, done.stderr[-3000:]
    assert distance(alone, out) < 1e-5
    assert {path.name for path in out.iterdir()} == {path.name for path in alone.iterdir()}
    assert "training" in done.stderr or "train" in done.stderr
    again = run("alone", "factory.cli", *arguments(given, out))  # how many train changes no weights
    assert "train: done before, reused" in again.stderr


def test_what_a_started_process_finds_wrong_is_the_command_s_error(given, tmp_path):
    done = run("alone", "factory.cli", *arguments(given, tmp_path / "out", **STARTED, max_length="3"))
    assert done.returncode == 2
    (line,) = said(done)
    assert "no pair can be trained on" in line


def test_what_fails_in_a_started_process_in_another_package_is_said_with_its_place(given, tmp_path):
    code = "from factory.training.losses import Ipo\nclass Odd(Ipo):\n    def __call__(self, margin):\n        1 / 0\n"
    site = tmp_path / "site"
    package(site, "odd-loss", {"odd_loss.py": code}, {"sso_factory.losses": {"odd": "odd_loss:Odd"}})
    path = f"{ROOT}{os.pathsep}{site}"
    done = run("alone", "factory.cli", *arguments(given, tmp_path / "out", **STARTED, loss="odd"), PYTHONPATH=path)
    assert done.returncode == 1
    (line,) = said(done)
    assert f"{site / 'odd_loss.py'} line 4, of the package odd-loss, failed (ZeroDivisionError" in line


def test_a_launch_inside_a_launch_is_refused(given, tmp_path):
    fleet = {"WORLD_SIZE": "2", "RANK": "0", "MASTER_ADDR": "127.0.0.1"}
    done = run("alone", "factory.cli", *arguments(given, tmp_path / "out", **STARTED), **fleet)
    assert done.returncode == 2
    assert "one of several" in done.stderr


def test_a_configuration_that_is_not_there_is_told_before_anything_is_started(given, tmp_path):
    gone = {**STARTED, "launch.config_file": str(tmp_path / "gone.yaml")}
    done = run("alone", "factory.cli", *arguments(given, tmp_path / "out", **gone))
    assert done.returncode == 2
    assert "there is no file" in said(done)[0]


def test_started_processes_end_with_a_killed_command_and_training_goes_on(given, alone, tmp_path):
    out = tmp_path / "out"
    kill_at(".train.partial/**/checkpoint-*", given, out, save_steps="1")
    again = run("alone", "factory.cli", *arguments(given, out, **STARTED))
    assert again.returncode == 0, again.stderr[-3000:]
    assert distance(alone, out) < 1e-5


def test_started_processes_train_no_further_once_the_command_is_killed(given, tmp_path):
    """Each leads a process group of its own, which the end of the launcher's does not reach."""
    out = tmp_path / "out"
    kill_at(".train.partial/metrics.jsonl", given, out, epochs="3000", save_steps="1000")
    assert (out / ".train.partial/metrics.jsonl").read_text().count("\n") < 3000


def kill_at(made, given, out, **values):
    """Kill the command once a file of that pattern is there, and wait until all that it started are gone."""
    begun = list(command("alone", "factory.cli", *arguments(given, out, **STARTED, **values)))
    with subprocess.Popen(begun, env=environment(), cwd=ROOT, stderr=subprocess.DEVNULL) as process:
        while process.poll() is None and not list(out.glob(made)):
            time.sleep(0.05)
        process.kill()
    while workers(out):
        time.sleep(0.05)


def workers(out):
    """Command lines of processes that train in `out`."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            words = path.read_bytes().split(b"\0")
            found += [words] if b"factory.training.worker" in words and str(out).encode() in b" ".join(words) else []
    return found


SSH = """#!/bin/sh
# What ssh does with its words, on this machine: options, the host, and a line for its shell.
while [ "$1" != -- ]; do shift; done
[ "$2" = nowhere ] && { echo "ssh: Could not resolve hostname nowhere" >&2; exit 255; }
echo "$3" >> "$HEARD"
exec sh -c "$3"
"""


@pytest.fixture
def machines(tmp_path):
    """The environment in which ssh reaches this machine under any name."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "ssh").write_text(SSH)
    (tmp_path / "bin" / "ssh").chmod(0o755)
    path = f"{tmp_path / 'bin'}:{os.environ['PATH']}"
    return {"PATH": path, "HEARD": str(tmp_path / "heard"), "HF_TOKEN": "hf_secret", "HF_HUB_OFFLINE": "1"}


def test_a_second_machine_trains_along(given, alone, tmp_path, machines):
    out = tmp_path / "out"
    hosts = {"launch.processes": "1", "launch.hosts": "[second]", "launch.address": "127.0.0.1"}
    done = run("alone", "factory.cli", *arguments(given, out, **hosts), **machines)
    assert done.returncode == 0, done.stderr[-3000:]
    assert distance(alone, out) < 1e-5
    heard = (tmp_path / "heard").read_text()
    assert "--machine_rank 1" in heard
    assert "HF_HUB_OFFLINE=1" in heard
    assert "secret" not in heard, "whoever is on that machine may read its command lines"


def test_a_machine_that_cannot_be_reached_is_said(given, tmp_path, machines):
    hosts = {"launch.processes": "1", "launch.hosts": "[nowhere]", "launch.address": "127.0.0.1"}
    done = run("alone", "factory.cli", *arguments(given, tmp_path / "out", **hosts), **machines)
    assert done.returncode == 1
    assert "Could not resolve hostname nowhere" in done.stderr
    assert "Traceback" not in done.stderr
