"""Exports to where fsspec reaches: in memory here, S3 by a local server in the integration tests."""

from pathlib import Path

import fsspec
import pytest

import factory
from factory.config import Export
from factory.errors import ConfigError, FactoryError
from factory.exports.destinations.remote import send, url_of
from factory.exports.destinations.write import export
from tests.pairs import pairs


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ("s3://bucket/a/b/", "s3://bucket/a/b"),
        (Path("s3://bucket/a"), "s3://bucket/a"),
        ("GS://bucket/x", "gs://bucket/x"),
        ("memory://x", "memory://x"),
        ("out/dir", None),
        ("/abs/dir", None),
        ("C:/Users/x", None),
        ("file:///abs/dir", None),
        (Path("odd:name/x"), None),
    ],
)
def test_an_address_is_told_from_a_path(given: str | Path, url: str | None) -> None:
    assert url_of(given) == url


def test_a_folder_is_copied_and_stale_shards_go(tmp_path: Path) -> None:
    memory = fsspec.filesystem("memory")
    export(pairs(20), "rm", tmp_path / "a", Export(shard_rows=5))
    send(tmp_path / "a", "memory://place/rm")
    memory.pipe_file("/place/rm/theirs.txt", b"kept")
    export(pairs(20), "rm", tmp_path / "b", Export(test_share=0))
    sent = send(tmp_path / "b", "memory://place/rm")
    assert sent == ["memory://place/rm/data/train-00000-of-00001.parquet", "memory://place/rm/README.md"]
    there = {name.removeprefix("/place/rm/") for name in memory.find("/place/rm")}
    assert there == {"data/train-00000-of-00001.parquet", "README.md", ".sso-factory.json", "theirs.txt"}
    local = (tmp_path / "b" / "data" / "train-00000-of-00001.parquet").read_bytes()
    assert memory.cat_file("/place/rm/data/train-00000-of-00001.parquet") == local


@pytest.mark.parametrize("name", ["data/train-00000-of-00009.parquet", "data/test-00000-of-00001.parquet"])
def test_a_foreign_file_in_the_way_is_refused_before_any_work(name: str) -> None:
    memory = fsspec.filesystem("memory")
    memory.pipe_file(f"/foreign/{name}", b"theirs")
    before = memory.find("/foreign")
    with pytest.raises(ConfigError, match=f"memory://foreign/{name} was not written by sso-factory"):
        factory.export("no-such-file.jsonl", "rm", "memory://foreign")
    assert memory.find("/foreign") == before
    assert memory.cat_file(f"/foreign/{name}") == b"theirs"
    memory.rm("/foreign", recursive=True)


def test_a_file_that_was_changed_there_is_refused_and_a_readme_is_left_alone(tmp_path: Path) -> None:
    memory, train = fsspec.filesystem("memory"), "data/train-00000-of-00001.parquet"
    export(pairs(20), "rm", tmp_path)
    send(tmp_path, "memory://changed")
    memory.pipe_file("/changed/README.md", b"their card")
    send(tmp_path, "memory://changed")
    assert memory.cat_file("/changed/README.md") == b"their card"
    memory.pipe_file(f"/changed/{train}", b"theirs")
    with pytest.raises(ConfigError, match=r"train-00000-of-00001\.parquet was changed since"):
        send(tmp_path, "memory://changed")
    assert memory.cat_file(f"/changed/{train}") == b"theirs"


def test_what_an_interrupted_sending_left_is_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    memory = fsspec.filesystem("memory")
    export(pairs(20), "rm", tmp_path, Export(shard_rows=10))
    put, sent = type(memory).put_file, []

    def break_down(*rest: object, **more: object) -> None:
        if len(sent) == 2:
            raise OSError("the connection is gone")
        sent.append(put(*rest, **more))

    monkeypatch.setattr(type(memory), "put_file", break_down)
    with pytest.raises(FactoryError, match="the connection is gone"):
        send(tmp_path, "memory://broken")
    monkeypatch.setattr(type(memory), "put_file", put)
    send(tmp_path, "memory://broken")
    assert memory.isfile("/broken/README.md")


def test_an_unknown_scheme_is_a_config_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nowhere"):
        send(tmp_path, "nowhere://x/y")


def test_a_place_that_refuses_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    export(pairs(2), "rm", tmp_path)

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError("no entry")

    monkeypatch.setattr(type(fsspec.filesystem("memory")), "put_file", refuse)
    with pytest.raises(FactoryError, match="no entry"):
        send(tmp_path, "memory://place/x")
