"""How tests start a Python module alone or as two processes on the CPU."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def command(launcher: str, module: str, *arguments: str) -> list[str]:
    """`launcher` is alone, torchrun, accelerate, or fsdp for accelerate with the example's configuration."""
    if launcher == "alone":
        return [sys.executable, "-m", module, *arguments]
    if launcher == "torchrun":
        return [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2", "-m", module, *arguments]
    if launcher == "fsdp":
        options = ["--config_file", str(ROOT / "examples" / "launch" / "fsdp2.yaml"), "--num_processes", "2"]
        return [sys.executable, "-m", "accelerate.commands.launch", *options, "-m", module, *arguments]
    options = ["--num_processes", "2", "--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no"]
    tool = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", *options]
    return [*tool, "-m", module, *arguments]


def environment(**more: str) -> dict[str, str]:
    port = str(29600 + os.getpid() % 300)
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "MASTER_PORT": port, **more}


def run(launcher: str, module: str, *arguments: str, **more: str) -> "subprocess.CompletedProcess[str]":
    """Run to the end, whatever the end is."""
    return subprocess.run(
        command(launcher, module, *arguments), env=environment(**more), capture_output=True, text=True
    )
