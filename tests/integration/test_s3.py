"""Pairs on S3, read through fsspec from a server on this machine."""

import io

import polars as pl
import pytest

from factory.errors import InputError
from factory.readers import load_pairs

pytestmark = [
    pytest.mark.integration,
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
ROW = {"prompt": "Why?", "chosen": "Because.", "rejected": "No."}


@pytest.fixture
def bucket(monkeypatch):
    server = pytest.importorskip("moto.server").ThreadedMotoServer(port=0, verbose=False)
    pytest.importorskip("s3fs")
    server.start()
    host, port = server.get_host_and_port()
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
    import s3fs

    s3fs.S3FileSystem.clear_instance_cache()
    system = s3fs.S3FileSystem(skip_instance_cache=True)
    if not system.exists("pairs"):  # moto keeps its buckets from one server of a process to the next
        system.mkdir("pairs")
    yield system
    s3fs.S3FileSystem.clear_instance_cache()
    server.stop()


def test_files_and_folders_of_s3_are_read(bucket):
    held = io.BytesIO()
    pl.DataFrame([ROW]).write_parquet(held)
    bucket.pipe(
        {"pairs/data/a.parquet": held.getvalue(), "pairs/data/deep/b.csv": b"prompt,chosen,rejected\nWho?,x,y\n"}
    )
    assert load_pairs("s3://pairs/data/a.parquet")["source"].to_list() == ["a"]
    assert load_pairs("s3://pairs/data")["source"].to_list() == ["a", "b"]
    with pytest.raises(InputError, match=r"s3://pairs/gone\.parquet: cannot be fetched"):
        load_pairs("s3://pairs/gone.parquet")
