"""Exports to S3, against a server of moto's on this machine."""

from collections.abc import Iterator
from pathlib import Path

import boto3
import polars as pl
import pytest
from moto.server import ThreadedMotoServer

from factory.commands.export import export
from factory.errors import FactoryError
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
    yield url
    server.stop()


def test_an_export_lies_in_the_bucket(bucket: str, tmp_path: Path) -> None:
    sent = export(pairs(30), "rm", "s3://pairs/some/where")
    names = [
        item["Key"] for item in boto3.client("s3", endpoint_url=bucket).list_objects_v2(Bucket="pairs")["Contents"]
    ]
    assert sorted(f"s3://pairs/{name}" for name in names) == sorted(map(str, sent))
    assert "some/where/README.md" in names
    key = "some/where/data/train-00000-of-00001.parquet"
    boto3.client("s3", endpoint_url=bucket).download_file("pairs", key, str(tmp_path / "x.parquet"))
    assert pl.read_parquet(tmp_path / "x.parquet").height > 40


def test_a_bucket_that_is_not_there_is_one_sentence(bucket: str) -> None:
    with pytest.raises(FactoryError, match="s3://nobody/x: cannot be written"):
        export(pairs(3), "rm", "s3://nobody/x")
