"""Training in processes of its own, on this machine and others: started by accelerate, watched and ended from here.

What the processes are to do, and what came of it, goes through a folder of files (`JOB`) beside their work: pairs and
settings in; progress, facts or the first failure out. Checkpoints lie in the work folder as ever, so that a training
that was killed goes on, in as many processes as are asked for then.
"""

import json
import re
import shutil
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from shlex import join, quote
from socket import getfqdn
from typing import Any

from factory.config.training import Launch
from factory.engines.child import CLOSE_SECONDS, Child, environment, free_port, kept
from factory.errors import ConfigError, FactoryError, TrainingError, one_line
from factory.progress import Progress
from factory.store import write_json
from factory.training import TrainingJob
from factory.training.processes import failure

JOB = ".job"
"""Folder of the files; its name begins with a dot, so that it is no part of what the stage leaves."""
PAIRS, SETTINGS, TOLD, FACTS, FAILURE = "pairs.parquet", "settings.json", "told.jsonl", "facts.json", "failure.json"
WORKER = "factory.training.worker"
_POLL_SECONDS = 0.2
_ABROAD = re.compile(r"PYTHONPATH$|(HF|TRANSFORMERS|TOKENIZERS|TORCH|NCCL|GLOO|OMP|CUDA|ACCELERATE)_(?!.*(TOKEN|KEY))")
"""Variables that processes on other machines get too; no secret, since a command line can be seen by all there."""


def stage(job: TrainingJob) -> dict[str, Any]:
    """Do what `factory.training.run.stage` does, in `config.launch.processes` processes; the same weights but for sums.

    Raises the error of the process that failed first; TrainingError, with the last lines of output, where none said.
    """
    assert job.config.launch is not None
    folder = job.out / JOB
    # What was told before a kill must not be taken for what is told now.
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    job.pairs.write_parquet(folder / PAIRS)
    settings = job.config.model_copy(update={"launch": None}).model_dump(mode="json")
    rest = {"policy": job.policy._asdict(), "out": str(job.out.resolve()), "seed": job.seed, "iteration": job.iteration}
    write_json(folder / SETTINGS, {"training": settings, **rest})
    with ExitStack() as stack:
        children = [stack.enter_context(kept(one, environment())) for one in commands(job.config.launch, folder)]
        _follow(children, folder / TOLD, job.progress)
        # Not by the exit code: NCCL and gloo may abort at exit after all was saved.
        if not (folder / FACTS).is_file():
            raise _failure(folder / FAILURE, next((one for one in children if one.exit_code()), children[0]))
        for child in children:
            child.exit_code(CLOSE_SECONDS)  # the others have heard that all is done, and leave by themselves
    facts: dict[str, Any] = json.loads((folder / FACTS).read_text("utf-8"))
    return facts


def commands(launch: Launch, job: Path) -> list[list[str]]:
    """What starts the processes of each machine, this one's first.

    It is accelerate's launcher with the user's configuration, or for DDP. Raises ConfigError where that is no file.
    """
    machines = 1 + len(launch.hosts)
    options = ["--num_processes", str(launch.processes * machines), "--num_machines", str(machines)]
    # Not accelerate's own default, which another training on this machine may have taken.
    options += ["--main_process_port", str(free_port())]
    if launch.hosts:
        options += ["--main_process_ip", launch.address or getfqdn()]
    if launch.config_file is None:
        # In full: accelerate warns of what it has to guess. The type is the Trainer's to choose.
        options += ["--multi_gpu", "--mixed_precision", "no", "--dynamo_backend", "no"]
    elif not Path(launch.config_file).is_file():
        raise ConfigError(f"training.launch.config_file: there is no file {launch.config_file}")
    else:
        options = ["--config_file", str(Path(launch.config_file).resolve()), *options]
    start, work = [sys.executable, "-m", "accelerate.commands.launch", *options], ["-m", WORKER, str(job.resolve())]
    if not launch.hosts:
        return [[*start, *work]]
    made = [[*start, "--machine_rank", str(number), *work] for number in range(machines)]
    return [made[0], *(_on(host, command) for host, command in zip(launch.hosts, made[1:], strict=True))]


def _on(host: str, command: Sequence[str]) -> list[str]:
    """`command` on another machine, in this folder, ended with its ssh: without a terminal (-tt) it would go on."""
    told = [f"{name}={value}" for name, value in environment().items() if _ABROAD.match(name)]
    there = f"cd {quote(str(Path.cwd()))} && exec {join(['env', *told, *command])}"
    return ["ssh", "-tt", "-o", "BatchMode=yes", "--", host, there]


def _follow(children: Sequence[Child], told: Path, shown: Progress) -> None:
    """Pass on what process 0 tells, until its machine is through or another has failed."""
    told.touch()
    with told.open(encoding="utf-8") as file:
        rest, ended = "", False
        while not ended:
            # Looked at before the file is read, so that what was told last is still passed on.
            ended = children[0].exit_code(_POLL_SECONDS) is not None or any(child.exit_code() for child in children[1:])
            while more := file.readline():
                rest += more
                # A line may be read while half of it is written.
                if rest.endswith("\n"):
                    name, given, named = json.loads(rest)
                    getattr(shown, name)(*given, **named)
                    rest = ""


def _failure(path: Path, ended: Child) -> FactoryError:
    if path.is_file():
        return failure(json.loads(path.read_text("utf-8")))
    code, words = ended.exit_code() or 0, ended.last_words()
    return TrainingError(
        one_line(f"training.launch: the processes ended (exit code {code}) and left no policy{words}")
        + "; the same command goes on from the last checkpoint"
    )
