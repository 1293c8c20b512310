"""kill -9 while a judge is asked over HTTP: the same command ends with the same result and hardly asks again."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from random import Random

import pytest

from tests.loopback import Loopback, judging, longer

ROOT = Path(__file__).parents[2]
PAIRS, IN_FLIGHT, KILLS = 2_000, 8, 4


def command(folder: Path, server: Loopback, out: str) -> list[str]:
    engine = f"{{kind: openai, base_url: '{server.base_url}', max_concurrency: {IN_FLIGHT}}}"
    (folder / "audit.yaml").write_text(f"judge: {{name: J, engine: {engine}}}\nsample: null\n")
    arguments = [
        "audit",
        str(folder / "pairs.jsonl"),
        "--config",
        str(folder / "audit.yaml"),
        "--out",
        str(folder / out),
    ]
    return [sys.executable, "-m", "factory.cli", *arguments]


def killed(arguments: list[str], server: Loopback, after: int) -> None:
    """Run until the server was asked so many more questions, and kill."""
    goal = len(server.asked) + after
    with subprocess.Popen(arguments, cwd=ROOT, stderr=subprocess.DEVNULL) as child:
        deadline = time.monotonic() + 1800
        while len(server.asked) < goal and child.poll() is None and time.monotonic() < deadline:
            time.sleep(0.002)
        child.send_signal(signal.SIGKILL)
        child.wait()
    assert child.returncode == -signal.SIGKILL


@pytest.mark.integration
@pytest.mark.slow
def test_judging_survives_being_killed(tmp_path: Path) -> None:
    rows = [{"prompt": f"q{n}", "chosen": "c" * (1 + n % 7), "rejected": "r" * (1 + n % 5)} for n in range(PAIRS)]
    (tmp_path / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    random = Random(0)
    with Loopback(judging(longer), latency=0.005) as server:
        subprocess.run(command(tmp_path, server, "unbroken"), cwd=ROOT, check=True, capture_output=True)
        questions = len(server.asked)
        assert questions == 2 * PAIRS
        broken = command(tmp_path, server, "broken")
        for _ in range(KILLS):
            before = len(server.asked)
            killed(broken, server, random.randint(20, questions // KILLS - 20))
            assert len(server.asked) - before < questions
        subprocess.run(broken, cwd=ROOT, check=True, capture_output=True)
        asked_again = len(server.asked) - 2 * questions
    assert 0 <= asked_again <= KILLS * IN_FLIGHT
    for name in ("audit.json", "judgments.parquet"):
        assert (tmp_path / "broken" / name).read_bytes() == (tmp_path / "unbroken" / name).read_bytes()
