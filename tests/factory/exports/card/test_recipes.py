"""What a card tells people to run takes arguments that the trainer has, by a stored list of a version of it."""

import inspect
import json
import re
from dataclasses import fields
from pathlib import Path

import pytest
import yaml
from transformers import TrainingArguments

from factory.exports import EXPORTERS
from factory.exports.card.recipes import RECIPES, recipes

STORED = json.loads((Path(__file__).parent / "trainer_arguments.json").read_text(encoding="utf-8"))
KNOWN = {name.split()[0]: set(" ".join(lines).split()) for name, lines in STORED.items()}
KNOWN["LLaMA-Factory"] |= {field.name for field in fields(TrainingArguments)}
OF_SHELLS = [(one.trainer, one.lines) for name in RECIPES for one in recipes(name, "PLACE") if one.language == "bash"]


def test_every_format_is_told_how_to_load() -> None:
    assert set(RECIPES) == set(EXPORTERS)


@pytest.mark.parametrize(("trainer", "lines"), [one for one in OF_SHELLS if one[0] != "sso-factory"])
def test_a_command_takes_arguments_that_its_trainer_has(trainer: str, lines: str) -> None:
    known = KNOWN[re.split(r"[ ,]", trainer)[0]]
    given = set(re.findall(r"--([\w.]+)", lines)) - {"module"}  # deepspeed's own
    assert given
    assert given <= known


def test_axolotl_is_given_keys_that_it_has() -> None:
    (recipe,) = recipes("axolotl", "PLACE")
    config = yaml.safe_load(recipe.lines)
    assert {*config, *config["datasets"][0]} <= KNOWN["axolotl"] | {"model_type"}, "which it validates apart"
    assert config["datasets"][0]["path"] == "PLACE"


@pytest.mark.parametrize("trainer", ["RewardTrainer", "DPOTrainer", "KTOTrainer"])
def test_trl_s_trainers_take_what_they_are_given(trainer: str) -> None:
    import trl

    lines = "".join(one.lines for name in RECIPES for one in recipes(name, "PLACE") if trainer in one.lines)
    called = re.findall(rf"{trainer}\((.*?)\)\.train", lines)[0]
    given = set(re.findall(r"(\w+)=", called))
    assert given == {"model", "train_dataset"}
    assert given <= set(inspect.signature(getattr(trl, trainer)).parameters)
