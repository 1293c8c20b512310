import polars as pl
import pytest

import principles
from factory.config import Principles, Sampling
from factory.engine_blocks import ScriptedEngine
from factory.engines.scripted import ScriptedModel
from factory.identity import prompt_id
from factory.models.ref import ModelRef
from factory.schema import MESSAGES
from factory.stages import parts
from factory.stages.contrast import contrast
from factory.stages.features import allocate
from factory.stages.score import score
from factory.stages.triples import triples


class Counted(ScriptedModel):
    """Counts what it is asked in one call."""

    def __init__(self):
        super().__init__(ScriptedEngine(), ModelRef("made-up"))
        self.calls = []

    def generate(self, requests):
        self.calls.append(len(requests))
        return super().generate(requests)

    def score(self, requests):
        self.calls.append(len(requests))
        return super().score(requests)


@pytest.fixture
def prompts():
    turns = [[{"role": "user", "content": f"Tell me of the number {n}."}] for n in range(7)]
    schema = {"prompt": MESSAGES}
    return pl.DataFrame({"prompt_id": [prompt_id(turn) for turn in turns], "prompt": turns}, schema_overrides=schema)


def line(prompts, engine):
    found = principles.load("sso")
    features = allocate(prompts, engine, found, 1, 1)
    contrasted = contrast(prompts, features, found, Principles(), None, 1, 1)
    made = triples(prompts, contrasted, engine, Sampling(), 1, 1, "sso", "made-up")
    return features, made.kept, made.rejected, score(made.kept, engine)


def test_parts_change_nothing_but_how_much_is_asked_at_once(prompts, monkeypatch):
    whole, cut = Counted(), Counted()
    expected = line(prompts, whole)
    monkeypatch.setattr(parts, "AT_ONCE", 3)
    found = line(prompts, cut)
    assert all(one.equals(other) for one, other in zip(found, expected, strict=True))
    assert len(expected[1]) > 3
    assert whole.calls[:2] == [7, 21]
    assert cut.calls[:6] == [3, 3, 1, 9, 9, 3]


def test_an_empty_table_is_one_part():
    assert [part.height for part in parts.parts(pl.DataFrame({"a": []}))] == [0]
