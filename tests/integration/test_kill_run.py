"""kill -9, ten times, of a whole run over HTTP: the same bytes in the end, and hardly anything asked twice."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from random import Random

import pytest

from tests.integration.test_crash import contents
from tests.loopback import Loopback, Seen, Spoken, judging, longer

ROOT = Path(__file__).parents[2]
PROMPTS, IN_FLIGHT, KILLS = 100, 8, 10

pytestmark = [pytest.mark.integration, pytest.mark.slow]


def model(seen: Seen) -> Spoken:
    """Names features, judges by length, and answers anything else at a length that follows from seed and prompt."""
    if '{"conversation"' in seen.last:
        return judging(longer)(seen)
    if seen.body["max_completion_tokens"] < 100:
        return Spoken("Accuracy, Safety")
    random = Random(f"{seen.body['seed']} {seen.last}")
    return Spoken(" ".join(random.choice(("tide", "bread", "rain", "violin")) for _ in range(random.randint(20, 60))))


def configuration(folder: Path, server: Loopback) -> Path:
    """Two iterations, then rounds of 20 prompts until the prompts run out."""
    engine = {"kind": "openai", "base_url": server.base_url, "max_concurrency": IN_FLIGHT}
    prompts = folder / "prompts.jsonl"
    prompts.write_text("".join(json.dumps({"prompt": f"What about {n}?"}) + "\n" for n in range(PROMPTS)))
    config = {
        "run": {"iterations": 2},
        "prompts": {"paths": [str(prompts)], "target_pairs": 1000, "per_round": 20},
        "policy": {"model": "M"},
        "engine": engine,
        "sampling": {"max_new_tokens": 200},
        "training": {"method": "none"},
        "judges": [{"name": "J", "engine": engine}],
        "export": {"formats": ["rm", "dpo"]},
    }
    path = folder / "config.yaml"
    path.write_text(json.dumps(config))
    return path


def command(config: Path, run_dir: Path) -> list[str]:
    return [sys.executable, "-m", "factory.cli", "run", str(config), "--run-dir", str(run_dir)]


def tries(server: Loopback, least: int) -> int:
    """Questions asked for the `least`-th time or later, the first being 0."""
    return sum(seen.tries >= least for seen in server.asked)


def killed(arguments: list[str], server: Loopback, moment: int) -> None:
    """Run until `moment` different questions have been asked since the unbroken run, and kill."""
    with subprocess.Popen(arguments, cwd=ROOT, env=ENV, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as child:
        deadline = time.monotonic() + 1800
        while tries(server, 1) - tries(server, 2) < moment and child.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        child.send_signal(signal.SIGKILL)
        child.wait()
    assert child.returncode == -signal.SIGKILL


ENV = {**os.environ, "OPENAI_API_KEY": "none"}


def test_a_run_killed_ten_times_ends_in_the_same_bytes(tmp_path: Path) -> None:
    unbroken, run_dir = tmp_path / "unbroken" / "run", tmp_path / "broken" / "run"
    with Loopback(model, latency=0.02) as server:
        config = configuration(tmp_path, server)
        subprocess.run(command(config, unbroken), cwd=ROOT, env=ENV, check=True, capture_output=True)
        questions = len(server.asked)
        assert questions > 4 * PROMPTS
        assert tries(server, 1) == 0
        for moment in sorted(Random(0).sample(range(1, questions), KILLS)):
            killed(command(config, run_dir), server, moment)
        subprocess.run(command(config, run_dir), cwd=ROOT, env=ENV, check=True, capture_output=True)
        assert tries(server, 1) - tries(server, 2) == questions
        assert server.most_in_flight == IN_FLIGHT
    assert 0 < tries(server, 2) <= KILLS * IN_FLIGHT
    assert contents(run_dir) == contents(unbroken)
    assert (run_dir / "iterations/5/passed.manifest.json").is_file()
