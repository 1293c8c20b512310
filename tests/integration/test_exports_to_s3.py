"""Exports to S3, against a server of moto's on this machine."""

from collections.abc import Iterator
from pathlib import Path

import boto3
import polars as pl
import pytest
from moto.server import ThreadedMotoServer
from s3fs import S3FileSystem

from factory.commands.export import export
from factory.errors import ConfigError, FactoryError
from factory.store.ownership import RECORD
from tests.pairs import pairs

pytestmark = [pytest.mark.integration, pytest.mark.filterwarnings("ignore::DeprecationWarning")]


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    url = f"http://127.0.0.1:{server.get_host_and_port()[1]}"
    for name, value in (("ACCESS_KEY_ID", "test"), ("SECRET_ACCESS_KEY", "test"), ("DEFAULT_REGION", "us-east-1")):
        monkeypatch.setenv(f"AWS_{name}", value)
    monkeypatch.setenv("AWS_ENDPOINT_URL", url)
    boto3.client("s3", endpoint_url=url).create_bucket(Bucket="pairs")
    S3FileSystem.clear_instance_cache()
    yield url
    server.stop()


def test_an_export_lies_in_the_bucket(bucket: str, tmp_path: Path) -> None:
    sent = [*export(pairs(30), "rm", "s3://pairs/some/where"), f"s3://pairs/some/where/{RECORD}"]
    names = [
        item["Key"] for item in boto3.client("s3", endpoint_url=bucket).list_objects_v2(Bucket="pairs")["Contents"]
    ]
    assert sorted(f"s3://pairs/{name}" for name in names) == sorted(map(str, sent))
    assert "some/where/README.md" in names
    key = "some/where/data/train-00000-of-00001.parquet"
    boto3.client("s3", endpoint_url=bucket).download_file("pairs", key, str(tmp_path / "x.parquet"))
    assert pl.read_parquet(tmp_path / "x.parquet").height > 40


def test_foreign_and_changed_files_are_refused_and_the_own_are_replaced(bucket: str) -> None:
    client = boto3.client("s3", endpoint_url=bucket)
    export(pairs(30), "rm", "s3://pairs/again", test_share=0.3)
    sent = export(pairs(30), "rm", "s3://pairs/again", test_share=0)
    there = {item["Key"] for item in client.list_objects_v2(Bucket="pairs", Prefix="again/")["Contents"]}
    assert {f"s3://pairs/{name}" for name in there} == {*map(str, sent), f"s3://pairs/again/{RECORD}"}
    key = "again/data/train-00000-of-00001.parquet"
    size = client.head_object(Bucket="pairs", Key=key)["ContentLength"]
    client.put_object(Bucket="pairs", Key=key, Body=b"x" * size)
    with pytest.raises(ConfigError, match="was changed since"):
        export(pairs(30), "rm", "s3://pairs/again")
    client.put_object(Bucket="pairs", Key="other/data/train-00000-of-00002.parquet", Body=b"theirs")
    with pytest.raises(ConfigError, match="was not written by sso-factory"):
        export(pairs(30), "rm", "s3://pairs/other")
    kept = [client.list_objects_v2(Bucket="pairs", Prefix=place)["Contents"] for place in ("again/", "other/")]
    assert {item["Key"] for item in kept[0]} == there
    assert [item["Key"] for item in kept[1]] == ["other/data/train-00000-of-00002.parquet"]
    assert client.get_object(Bucket="pairs", Key=key)["Body"].read() == b"x" * size


def test_a_bucket_that_is_not_there_is_one_sentence(bucket: str) -> None:
    with pytest.raises(FactoryError, match="s3://nobody/x: cannot be written"):
        export(pairs(3), "rm", "s3://nobody/x")
