"""What docs/principles.md shows is what the loader takes."""

import re
from pathlib import Path

import yaml

import principles
from factory.config import Judge, Principles
from principles.rendering import KINDS

TEXT = (Path(__file__).parents[2] / "docs/principles.md").read_text(encoding="utf-8")
BLOCKS = [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL)]


def test_the_set_shown_loads_and_its_sides_are_alike(tmp_path):
    (shown,) = [block for block in BLOCKS if "features" in block]
    path = tmp_path / "letters.yaml"
    path.write_text(yaml.safe_dump(shown), encoding="utf-8")
    letters = principles.load(path)
    assert [feature.name for feature in letters.offered] == ["Warmth", "Clarity"]
    assert [feature.name for feature in letters.beside] == ["Brevity"]
    for feature in letters.features:
        good, bad = (len(side.principle.split()) for side in (feature.good, feature.bad))
        assert 0.85 <= bad / good <= 1 / 0.85


def test_the_configuration_shown_is_valid():
    assert Principles.model_validate(BLOCKS[0]["principles"]).set == "sso"
    (judges,) = [block["judges"] for block in BLOCKS if "judges" in block]
    assert Judge.model_validate(judges[0]).template == "my/judge.yaml"


def test_the_table_of_placeholders_is_complete():
    rows = re.findall(r"^\| `(\w+)` \|(.*)$", TEXT, re.MULTILINE)
    told = {kind: set(re.findall(r"`(\w+)`", cells)) for kind, cells in rows}
    assert {kind: told.get(kind) for kind in KINDS} == {kind: {*part.text, *part.data} for kind, part in KINDS.items()}
