"""The command line as a real process, for tests that stop it, starve it or watch it."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

ROOT = Path(__file__).parents[1]
CLI = (sys.executable, "-m", "factory.cli")


def quickstart(run_dir: Path, *sets: str) -> list[str]:
    """The quickstart on the scripted engine with one export, as arguments of the command line."""
    chosen = [word for one in ("engine.kind=scripted", "export.formats=[rm]", *sets) for word in ("--set", one)]
    return ["run", "examples/quickstart.yaml", "--run-dir", str(run_dir), *chosen]


def child(
    arguments: list[str], before: Callable[[], object] | None = None, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run the command line to its end; `before` runs in the child before it begins.

    What takes something from the child would take it from the measuring of coverage as well, which is left out there.
    """
    measured = {} if before is None else {"COVERAGE_PROCESS_CONFIG": ""}
    return subprocess.run(
        [*CLI, *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        preexec_fn=before,
        env={**os.environ, **measured, **(env or {})},
    )


def stopped(arguments: list[str], ready: Callable[[], bool], number: int) -> tuple[int, str]:
    """Start the command line, send it a signal when `ready`, and give its exit code and what it said on stderr."""
    with subprocess.Popen(
        [*CLI, *arguments], cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as process:
        deadline = time.monotonic() + 1800
        while not ready() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        process.send_signal(number)
        _, said = process.communicate()
    return process.returncode, said
