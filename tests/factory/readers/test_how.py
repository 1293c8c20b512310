"""How a user says that inputs are to be read: options that are none are refused by every function that takes them."""

import inspect
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import factory

MORE: dict[str, dict[str, Any]] = {
    "audit": {"out": "out", "dry_run": True},
    "train": {"policy": "no/model", "out": "out"},
    "reward_train": {"model": "no/model", "out": "out"},
    "reward_score": {"model": "no/model", "out": "out"},
    "look": {},
    "load_pairs": {},
}
"""What a function needs beside the pairs, where that is not `out` alone."""


def taking_any_keyword() -> list[str]:
    """Functions of the package whose last parameter takes whatever is named."""
    functions = {name: getattr(factory, name) for name in factory.__all__ if inspect.isfunction(getattr(factory, name))}
    kinds = {
        name: [one.kind for one in inspect.signature(function).parameters.values()]
        for name, function in functions.items()
    }
    return sorted(name for name, each in kinds.items() if inspect.Parameter.VAR_KEYWORD in each)


def test_every_function_that_reads_pairs_is_looked_at() -> None:
    assert {*MORE, "export", "filter", "review"} == {*taking_any_keyword()}


@pytest.mark.parametrize("name", taking_any_keyword())
def test_a_misspelt_option_is_refused(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Passed over, `privat=True` would push to the world, and `sampel=5` pay for an audit of all."""
    monkeypatch.chdir(tmp_path)
    pl.DataFrame({"prompt": ["q"], "chosen": ["a"], "rejected": ["b"]}).write_parquet("pairs.parquet")
    with pytest.raises(TypeError, match="unexpected keyword argument 'sampel'"):
        getattr(factory, name)("pairs.parquet", **MORE.get(name, {"out": "out"}), sampel=5)
    assert [path.name for path in tmp_path.iterdir()] == ["pairs.parquet"]


def test_pairs_in_memory_are_read_as_their_columns_are_said() -> None:
    frame = pl.DataFrame({"a": ["q"], "b": ["x"], "c": ["y"]})
    pairs = factory.load_pairs(frame, columns="prompt=a,chosen=b,rejected=c")
    assert (pairs["chosen"][0], pairs["rejected"][0]) == ("x", "y")
