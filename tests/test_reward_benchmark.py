"""benchmarks/reward.py: what its docstring says of its models, arms and numbers."""

from pathlib import Path

import pytest
import torch

from benchmarks.reward_trunk import Top, Trunk
from tests import pairs as tables
from tests.tiny import tiny_model_folder


def test_the_top_gives_the_rewards_that_transformers_gives(tmp_path: Path) -> None:
    """On texts of several lengths in one batch, and on their ends, with the head that it drew."""
    name = str(tiny_model_folder(tmp_path / "model", context=256))
    trunk = Trunk(name, 90, tmp_path / "states", torch.float32)
    rows = [tables.pair([tables.user("Why?")], "because " * n, "no", source="test") for n in (2, 9, 40)]
    table = tables.table(rows)
    pairs, top = trunk.pairs(table, "some"), Top(trunk.model, seed=3)
    with torch.no_grad():
        found = top([pair.chosen for pair in pairs] + [pair.rejected for pair in pairs])
        trunk.model.score.weight.copy_(top.score.weight)
        for number, row in enumerate([*table["chosen"], *table["rejected"]]):
            ids = trunk._reader.ids([tables.user("Why?")], row)[-90:]
            expected = trunk.model(input_ids=torch.tensor([ids])).logits.item()
            assert found[number].item() == pytest.approx(expected, rel=1e-4, abs=1e-5)
    made = [place.stat().st_mtime_ns for place in (tmp_path / "states").iterdir()]
    assert (
        Trunk(name, 90, tmp_path / "states", torch.float32)
        .pairs(table, "some")[0]
        .chosen.normed.equal(pairs[0].chosen.normed)
    )
    assert [place.stat().st_mtime_ns for place in (tmp_path / "states").iterdir()] == made
