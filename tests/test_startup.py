"""What each command loads: a package that it has no use for is time that every call of it takes."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.loopback import Loopback, numbered
from tests.test_architecture import HEAVY

ROOT = Path(__file__).parents[1]
LIBRARIES = {*HEAVY, "polars", "pydantic", "numpy", "rich", "yaml", "jinja2", "markdown_it", "pyarrow", "aiohttp"}
LIBRARIES |= {"httpx", "httpx2", "requests", "huggingface_hub", "rensa"}
TABLES = {"polars", "pydantic", "numpy", "yaml"}
OURS = tuple(f"{ROOT / room}/" for room in ("factory", "filters", "principles"))
CODE = f"""
import linecache, sys
from factory.cli import main
main(sys.argv[1:], standalone_mode=False)
print("loaded:", *sorted({LIBRARIES!r} & sys.modules.keys()))
print("read:", *sorted(name for name in linecache.cache if name.startswith({OURS!r})))
"""


def started(*arguments: object, folder: Path = ROOT) -> tuple[set[str], list[str]]:
    """The libraries that a command has loaded when it ends, and those of our sources whose text was read."""
    command = [sys.executable, "-c", CODE, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=folder)
    loaded, read = done.stdout.splitlines()[-2:]
    return {*loaded.split()[1:]}, read.split()[1:]


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["run", "--help"], ["reward", "train", "--help"]])
def test_help_loads_nothing(arguments: list[str]) -> None:
    """Tables and models of configuration took three quarters of its time."""
    assert started(*arguments) == (set(), [])


def test_a_process_looks_for_no_garbage_when_it_ends() -> None:
    """Functions are called from the last one registered to the first."""
    code = (
        "import atexit, gc, sys\natexit.register(lambda: print(gc.get_freeze_count() > 0))\n"
        "from factory.cli import main\nmain(['--version'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.splitlines()[-1] == "True"


def test_explaining_a_name_loads_no_more_than_the_blocks_it_explains() -> None:
    loaded, read = started("explain", "gamma")
    assert loaded <= TABLES
    assert any(name.endswith("factory/config/training.py") for name in read)  # where gamma is explained


def run(tmp_path: Path, engine: object, *arguments: str) -> tuple[set[str], list[str]]:
    (tmp_path / "prompts.jsonl").write_text('{"prompt": "What of the number 1?"}\n')
    config = {"prompts": {"paths": ["prompts.jsonl"]}, "policy": {"model": "m"}, "engine": engine, "filters": []}
    (tmp_path / "c.yaml").write_text(json.dumps({**config, "training": {"method": "none"}, "run": {"iterations": 1}}))
    return started("run", tmp_path / "c.yaml", "--run-dir", tmp_path / "run", *arguments, folder=tmp_path)


def test_a_scripted_run_loads_tables_alone(tmp_path: Path) -> None:
    """Up to the pairs. No source is read: what is said of a key is looked up when somebody asks."""
    loaded, read = run(tmp_path, "scripted", "--until", "1/triples")
    assert loaded <= TABLES
    assert read == []


def test_a_run_over_an_api_loads_one_client_beside(tmp_path: Path) -> None:
    with Loopback(numbered) as server:
        loaded, read = run(tmp_path, {"kind": "openai", "base_url": server.base_url}, "--until", "1/triples")
    assert loaded <= {*TABLES, "aiohttp"}
    assert read == []
    assert len(server.asked) == 1 + 1 + 3  # the check, the features, the replies


def test_a_forecast_asks_nobody_and_loads_no_client(tmp_path: Path) -> None:
    assert run(tmp_path, {"kind": "openai", "base_url": "http://127.0.0.1:1/v1"}, "--dry-run")[0] <= {*TABLES, "rich"}
