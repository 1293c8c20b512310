"""Remote inputs are fetched once in a command: what was hashed is what is read."""

import inspect
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fsspec
import polars as pl
import pytest

import factory
from factory.readers.inputs import sources

PAIRS, PROMPTS = "memory://once/pairs.jsonl", "memory://once/prompts.jsonl"
SCRIPTED = {"name": "J", "engine": "scripted"}
RUN = {
    "run": {"iterations": 1},
    "prompts": {"paths": [PROMPTS]},
    "policy": {"model": "scripted"},
    "engine": "scripted",
    "training": {"method": "none"},
    "filters": [],
    "export": {"formats": ["rm"], "mix": [{"path": PAIRS, "share": 0.5}]},
}


@pytest.fixture
def fetched(monkeypatch: pytest.MonkeyPatch) -> Iterator[Counter[str]]:
    memory = fsspec.filesystem("memory")
    rows = pl.DataFrame([{"prompt": f"Why {n}?", "chosen": f"Because {n}.", "rejected": f"No {n}."} for n in range(9)])
    memory.pipe_file("/once/pairs.jsonl", rows.write_ndjson().encode())
    memory.pipe_file("/once/prompts.jsonl", rows.select("prompt").write_ndjson().encode())
    counts: Counter[str] = Counter()
    fetch = sources._fetched

    def counted(url: str) -> Any:
        counts[url] += 1
        return fetch(url)

    monkeypatch.setattr(sources, "_fetched", counted)
    yield counts
    memory.rm("/once", recursive=True)


COMMANDS: dict[str, Callable[[Path], object]] = {
    "filter": lambda out: factory.filter(PAIRS, out, config={"filters": [{"use": "duplicate"}]}),
    "audit": lambda out: factory.audit(PAIRS, out=out, judge=SCRIPTED),
    "export": lambda out: factory.export(PAIRS, "rm", out),
    "look": lambda out: factory.look(PAIRS),
    "run": lambda out: factory.run(RUN, out),
    "plan": lambda out: factory.plan(RUN, out),
}


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_fetches_each_remote_input_once(command: str, fetched: Counter[str], tmp_path: Path) -> None:
    COMMANDS[command](tmp_path / "out")
    assert set(fetched.values()) == {1}
    assert fetched.keys() == ({PAIRS, PROMPTS} if command == "run" else {PROMPTS if command == "plan" else PAIRS})


def test_another_command_fetches_anew(fetched: Counter[str]) -> None:
    factory.look(PAIRS)
    factory.look(PAIRS)
    assert fetched == {PAIRS: 2}


@pytest.mark.parametrize("name", ["filter", "audit", "export", "look", "run", "plan", "train", "review", "answers"])
def test_every_command_that_reads_inputs_does_so(name: str) -> None:
    assert hasattr(getattr(factory, name), "__wrapped__")


@pytest.mark.parametrize("name", sorted(factory._PUBLIC))
def test_no_command_that_takes_pairs_is_left_out(name: str) -> None:
    """Those that read once, and hash nothing, may be."""
    found = getattr(factory, name)
    if inspect.isfunction(found) and {"pairs", "prompts"} & inspect.signature(found).parameters.keys():
        assert hasattr(found, "__wrapped__")
