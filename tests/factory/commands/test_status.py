"""`status`: what is done, what is under way, and what an earlier configuration left."""

from pathlib import Path

import pytest

import factory

ROOT = Path(__file__).parents[3]
LONG = ["engine.kind=scripted", "run.iterations=2", "prompts.limit=4", "export.formats=[pairs, dpo]", "filters=[]"]


def states(run: Path) -> dict[str, str]:
    return {stage.name: stage.state for stage in factory.status(run)}


def test_what_an_earlier_configuration_left_is_called_so(tmp_path: Path) -> None:
    """Two iterations, two formats and an audit; then one of each, and no audit."""
    audit = ["audit.judge={name: a, model: another, engine: {kind: scripted}}"]
    for settings in (LONG + audit, [*LONG, "run.iterations=1", "export.formats=[pairs]"]):
        factory.run(factory.load_config(ROOT / "examples" / "quickstart.yaml", settings), tmp_path / "run")
    found = states(tmp_path / "run")
    left = {name for name, state in found.items() if state == "left over"}
    assert left == {name for name in found if name.startswith(("iterations/2/", "audit/", "exports/dpo"))}
    assert {"iterations/2/triples", "audit/audit", "exports/dpo"} <= left
    assert set(found.values()) == {"done", "left over"}


def test_a_round_that_is_drawn_beyond_those_of_an_earlier_filter_is_not_left_over(tmp_path: Path) -> None:
    """Two pairs are reached in one round; to reach more, further ones are drawn before the filter is made again."""
    few = [*LONG, "run.iterations=1", "prompts.target_pairs=2", "prompts.per_round=2"]
    factory.run(factory.load_config(ROOT / "examples" / "quickstart.yaml", few), tmp_path / "run")
    first = states(tmp_path / "run")
    more = factory.load_config(ROOT / "examples" / "quickstart.yaml", [*few, "prompts.target_pairs=4"])
    factory.run(more, tmp_path / "run", until="2/triples")
    assert states(tmp_path / "run").keys() - first.keys() >= {"iterations/2/triples"}
    assert set(states(tmp_path / "run").values()) == {"done"}


def test_a_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(factory.errors.InputError, match="no run folder"):
        factory.status(tmp_path)
