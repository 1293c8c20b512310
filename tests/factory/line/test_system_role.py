"""A policy that reads system messages as the user's is another one: nothing that it wrote otherwise stands for it."""

from pathlib import Path
from typing import Any

import pytest

import factory
from factory.config import Config
from tests.factory.engines.api.test_money import _environment, config, speak  # noqa: F401 - a fixture
from tests.loopback import Loopback


def first_roles(server: Loopback, since: int) -> set[str]:
    return {seen.body["messages"][0]["role"] for seen in server.asked[since:]}


def test_an_api_is_asked_anew_when_system_messages_are_folded(tmp_path: Path) -> None:
    with Loopback(speak) as server:
        raw = config(tmp_path, server).model_dump()
        factory.run(Config.model_validate(raw), until="triples")
        asked = len(server.asked)
        assert first_roles(server, 0) >= {"system", "user"}
        raw["policy"]["system_role"] = "fold"
        for _ in range(2):
            factory.run(Config.model_validate(raw), until="triples", check=False)
        assert len(server.asked) == asked + 10 * 4
        assert first_roles(server, asked) == {"user"}


@pytest.mark.parametrize("made", ["features", "triples", "scores", "train"])
def test_every_stage_of_the_policy_is_made_anew(made: str, tmp_path: Path) -> None:
    (tmp_path / "prompts.txt").write_text("One.\nTwo.\n")
    raw: dict[str, Any] = {"run": {"dir": str(tmp_path / "run"), "iterations": 1}, "engine": {"kind": "scripted"}}
    raw |= {"prompts": {"paths": [str(tmp_path / "prompts.txt")]}, "filters": [], "export": {"formats": []}}
    path = tmp_path / f"run/iterations/1/{made}.manifest.json"
    factory.run(Config.model_validate(raw), until=made)
    before = path.read_bytes()
    factory.run(Config.model_validate(raw | {"policy": {"system_role": "fold"}}), until=made)
    assert path.read_bytes() != before
