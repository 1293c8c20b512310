"""Every argument of transformers' and TRL's trainers is either the user's or refused with what to set instead."""

import re
from dataclasses import fields

import pytest

from factory.config import Training
from factory.config.load import override
from factory.config.trainer_options import FREE, POLICY, REWARD, REWARD_FREE, refusal
from factory.errors import ConfigError
from factory.reward.config import RewardTraining

transformers = pytest.importorskip("transformers")
trl = pytest.importorskip("trl")

TABLES = {
    "policy": (Training, transformers.TrainingArguments, FREE, POLICY),
    "reward": (RewardTraining, trl.RewardConfig, REWARD_FREE, REWARD),
}


def refused_of(block):
    """Every argument that is refused: those of the table, and those there are of its families."""
    _, arguments, _, table = TABLES[block]
    return {*table, *(field.name for field in fields(arguments) if refusal(field.name, table))}


@pytest.mark.parametrize("block", TABLES)
def test_every_argument_stands_in_one_table(block):
    _, arguments, free, _ = TABLES[block]
    refused = refused_of(block)
    names = {field.name for field in fields(arguments)}
    assert len(names) > 90
    unknown = names - free - refused
    assert not unknown, f"{sorted(unknown)} go into factory/config/trainer_options.py: passed on, or refused and why"
    assert not free & refused


@pytest.mark.parametrize(("block", "name"), [(block, name) for block in TABLES for name in sorted(refused_of(block))])
def test_what_is_not_passed_on_is_refused_by_name(block, name):
    kind = TABLES[block][0]
    with pytest.raises(ConfigError, match=rf"trainer_options: {name} is not passed on: ") as refused:
        override({}, [f"trainer_options.{name}=1"], kind)
    for key in re.findall(r"set (\w+)", str(refused.value)):
        assert key in kind.model_fields


@pytest.mark.parametrize("block", TABLES)
def test_what_is_passed_on_is_taken(block):
    kind, _, free, _ = TABLES[block]
    assert override({"trainer_options": dict.fromkeys(free, 1)}, [], kind).trainer_options.keys() == free


def test_an_argument_of_a_family_is_refused_before_a_version_brings_it():
    with pytest.raises(ConfigError, match=r"trainer_options: hub_new is not passed on: a model is pushed "):
        override({}, ["trainer_options.hub_new=1"], Training)


def test_an_argument_nobody_has_looked_at_is_refused():
    with pytest.raises(ConfigError, match=r"trainer_options: optimm is not known .*; did you mean optim\?"):
        override({}, ["trainer_options.optimm=sgd"], Training)
    with pytest.raises(ConfigError, match=r"trainer_options: new_thing is not known .*; passed on are adam_beta1, "):
        override({}, ["trainer_options.new_thing=1"], Training)


@pytest.mark.parametrize("options", [{"method": "sso_no_g"}, {"method": "sso", "gamma": 0}])
def test_w_on_a_g_that_is_not_there_is_refused(options):
    with pytest.raises(ConfigError, match=r"weight_scope: steering .* has no G; use method: sso .*, or method: pbaa"):
        override({**options, "weight_scope": "steering"}, [], Training)
    assert override({**options, "weight_scope": "all"}, [], Training)


@pytest.mark.parametrize("method", ["sso", "sso_no_w", "pbaa", "annotated", "none"])
def test_the_scope_of_a_w_that_is_used_or_absent_is_taken(method):
    assert override({"method": method, "weight_scope": "steering"}, [], Training)
