"""Pushing against a stand-in for the Hub: one commit, stale shards gone, resumable, the token from the environment."""

import json
from collections.abc import Iterator
from pathlib import Path

import huggingface_hub.constants as hub_constants
import pytest

import factory
from factory.config import Export
from factory.errors import ConfigError, FactoryError
from factory.exports.destinations.hub import push
from factory.exports.destinations.write import export
from factory.store.ownership import RECORD
from tests.hub import Hub
from tests.pairs import pairs

pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")
TOKEN = "hf_secret_of_the_test"
PROMPTS = "examples/prompts.jsonl"
RUN = {"prompts": {"paths": [PROMPTS]}, "policy": {"model": "scripted"}, "engine": "scripted"}


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with Hub() as running:
        monkeypatch.setenv("HF_ENDPOINT", running.url)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        monkeypatch.setattr(hub_constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setattr(hub_constants, "HF_HUB_OFFLINE", False)
        yield running


def exported(folder: Path, **options: object) -> Path:
    export(pairs(40), "rm", folder, Export(**options))
    return folder


def names(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_the_folder_arrives_in_one_commit(hub: Hub, tmp_path: Path) -> None:
    folder = exported(tmp_path, shard_rows=20)
    (folder / ".hidden").write_text("not mine to push")
    address = push(folder, "someone/pairs", private=True)
    assert address == f"{hub.url}/datasets/someone/pairs"
    assert set(hub.repos["someone/pairs"]) == names(folder) - {".hidden"}
    sent = hub.repos["someone/pairs"]
    assert all((folder / name).read_bytes() == sent[name] for name in sent if name != RECORD)
    assert set(json.loads(sent[RECORD])["files"]) == set(sent) - {RECORD}
    assert len(hub.commits) == 1
    assert hub.private["someone/pairs"]
    assert hub.tokens == {f"Bearer {TOKEN}"}


def test_shards_of_an_earlier_export_go_in_the_same_commit_and_other_files_stay(hub: Hub, tmp_path: Path) -> None:
    push(exported(tmp_path / "a", shard_rows=10), "someone/pairs")
    hub.repos["someone/pairs"]["notes/train-of-thought.md"] = b"theirs"
    folder = exported(tmp_path / "b", shard_rows=1000)
    push(folder, "someone/pairs")
    assert set(hub.repos["someone/pairs"]) == names(folder) | {"notes/train-of-thought.md"}
    assert len(hub.commits) == 2


FOREIGN = ("data/train-00000-of-00009.parquet", "data/train-00000-of-00001.parquet", "plots/lengths.png")


@pytest.mark.parametrize("name", FOREIGN)
def test_a_foreign_file_in_the_way_is_refused_before_any_work(name: str, hub: Hub, tmp_path: Path) -> None:
    hub.repos["someone/pairs"], hub.private["someone/pairs"] = {name: b"theirs"}, True
    for command in (
        lambda: factory.export("no-such-file.jsonl", "rm", push_to_hub="someone/pairs"),
        lambda: factory.run(RUN | {"export": {"push_to_hub": "someone/pairs"}}, tmp_path / "run"),
    ):
        with pytest.raises(ConfigError, match=f"someone/pairs/{name} was not written by sso-factory"):
            command()
    assert hub.repos["someone/pairs"] == {name: b"theirs"}
    assert {path.name for path in (tmp_path / "run").iterdir()} == set()


def test_a_file_that_was_changed_there_is_refused_and_a_readme_is_left_alone(hub: Hub, tmp_path: Path) -> None:
    push(exported(tmp_path / "a"), "someone/pairs")
    hub.repos["someone/pairs"]["README.md"] = b"their card"
    push(exported(tmp_path / "b", test_share=0), "someone/pairs")
    there = hub.repos["someone/pairs"]
    assert there["README.md"] == b"their card"
    assert not any(name.startswith("data/test") for name in there)
    there["data/train-00000-of-00001.parquet"] = b"theirs"
    with pytest.raises(ConfigError, match=r"train-00000-of-00001\.parquet was changed since"):
        push(exported(tmp_path / "c"), "someone/pairs")
    assert there["data/train-00000-of-00001.parquet"] == b"theirs"


def test_pushing_the_same_again_changes_nothing(hub: Hub, tmp_path: Path) -> None:
    folder = exported(tmp_path)
    push(folder, "someone/pairs")
    push(folder, "someone/pairs")
    assert len(hub.commits) == 1


def test_after_an_interruption_only_what_is_missing_is_sent(hub: Hub, tmp_path: Path) -> None:
    folder = exported(tmp_path, shard_rows=10)
    hub.refuse_upload_after = 3
    with pytest.raises(FactoryError, match="run it again"):
        push(folder, "someone/pairs")
    assert hub.commits == []
    assert hub.repos["someone/pairs"] == {}
    sent, hub.refuse_upload_after = list(hub.uploads), None
    push(folder, "someone/pairs")
    assert set(hub.repos["someone/pairs"]) == names(folder)
    assert len(hub.uploads) == len(set(hub.uploads))
    assert hub.uploads[: len(sent)] == sent


@pytest.mark.parametrize(
    ("status", "said"), [(401, "does not accept the token"), (403, "may not write"), (429, "slow down")]
)
def test_refusals_are_one_sentence(status: int, said: str, hub: Hub, tmp_path: Path) -> None:
    hub.fail = {"/api/repos/create": status} if status != 429 else {"/commit/": status}
    with pytest.raises(FactoryError, match=said) as caught:
        push(exported(tmp_path), "someone/pairs")
    assert TOKEN not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_page_in_place_of_the_hubs_answer_is_one_sentence(hub: Hub, tmp_path: Path) -> None:
    """As a network gives before one has logged in to it."""
    hub.answer = lambda method, path, body: (200, b"<html>Log in</html>")  # type: ignore[method-assign]
    with pytest.raises(FactoryError, match=r"pushing to someone/pairs: the connection to .* failed"):
        push(exported(tmp_path), "someone/pairs")


def test_a_public_repository_is_never_filled_with_what_was_to_be_private(hub: Hub, tmp_path: Path) -> None:
    push(exported(tmp_path), "someone/pairs")
    with pytest.raises(ConfigError, match="is public"):
        push(exported(tmp_path), "someone/pairs", private=True)
    assert len(hub.commits) == 1


def test_no_token_no_name_no_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_TOKEN", raising=False)
    with pytest.raises(ConfigError, match="set HF_TOKEN"):
        push(tmp_path, "someone/pairs")
    with pytest.raises(ConfigError, match="USER/NAME"):
        push(tmp_path, "pairs")
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(hub_constants, "HF_HUB_OFFLINE", False)
    with pytest.raises(FactoryError, match=r"the connection to .* failed"):
        push(exported(tmp_path), "someone/pairs")
