"""Everything that pairs can be given as: a path, a folder, a run, a link, a frame, a dataset, an address."""

import gzip
import importlib.util
import json
import os
import socket
import threading
from contextlib import suppress
from pathlib import Path

import datasets
import fsspec
import pandas as pd
import polars as pl
import pytest

from factory.errors import InputError, MissingExtraError
from factory.readers import fingerprint, load_pairs, read_pairs, read_prompts
from factory.readers.inputs.files import stem_of
from factory.readers.inputs.sources import find
from tests.reading import CSV, LINE, ROW, parquet


def test_what_is_no_file_is_refused_with_the_cause(tmp_path):
    with pytest.raises(InputError, match=r"gone.jsonl: No such file or directory"):
        read_pairs(tmp_path / "gone.jsonl")
    for bad in ("", "a\0b"):
        with pytest.raises(InputError, match="is no path"):
            read_pairs(bad)
    with pytest.raises(InputError, match="no input was given"):
        read_pairs([])
    with pytest.raises(InputError, match="a int is no table"):
        read_pairs(3)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="File name too long"):
        read_pairs("x" * 5000)
    with pytest.raises(InputError, match="is no file with data in it"):
        read_pairs("/dev/null")


def test_a_file_without_rights_to_it_is_refused_with_the_cause(tmp_path):
    file = tmp_path / "x.jsonl"
    file.write_bytes(LINE)
    file.chmod(0)
    if os.access(file, os.R_OK):
        pytest.skip("this user may read everything")
    with pytest.raises(InputError, match="Permission denied"):
        read_pairs(file)


def put(folder: Path, **files: bytes) -> None:
    for name, content in files.items():
        path = folder / name.replace("__", "/").replace("_dot_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def test_a_folder_is_every_data_file_below_it(tmp_path):
    put(
        tmp_path,
        b_dot_jsonl=LINE,
        a__c_dot_csv=CSV,
        a__z_dot_parquet=parquet(),
        a__d_dot_json_dot_gz=gzip.compress(b"[" + LINE + b"]"),
    )
    put(
        tmp_path,
        _dot_cache__x_dot_jsonl=b"junk",
        README_dot_md=b"# x",
        LICENSE_dot_txt=b"words",
        _dot_hidden_dot_csv=b"x",
    )
    put(tmp_path, dataset_info_dot_json=b'{"features": {}}', kept_dot_manifest_dot_json=b'{"version": 1}')
    assert load_pairs(tmp_path)["source"].to_list() == ["c", "d", "z", "b"]


def test_a_row_alone_in_a_file_of_a_folder_is_read(tmp_path):
    """As each file of a folder may be, and the last part that Spark writes."""
    lines = [json.dumps({**ROW, "chosen": f"Reply {n}."}).encode() for n in range(4)]
    put(tmp_path, part_1_dot_json=b"\n".join(lines[:2]), part_2_dot_json=lines[2], x_dot_json=lines[3], _SUCCESS=b"")
    put(tmp_path, kept_dot_manifest_dot_json=b'{"version": 1, "rows": 4}')
    assert load_pairs(tmp_path)["chosen"].to_list() == [f"Reply {n}." for n in range(4)]


def test_links_in_a_circle_end(tmp_path):
    put(tmp_path, a__x_dot_jsonl=LINE)
    (tmp_path / "a" / "up").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "self.jsonl").symlink_to(tmp_path / "self.jsonl")
    with pytest.raises(InputError, match=r"self.jsonl: Too many levels of symbolic links"):
        read_pairs(tmp_path)
    (tmp_path / "self.jsonl").unlink()
    assert load_pairs(tmp_path).height == 1
    (tmp_path / "linked.jsonl").symlink_to(tmp_path / "a" / "x.jsonl")
    assert load_pairs(tmp_path / "linked.jsonl").height == 1


def test_a_folder_without_data_is_refused(tmp_path):
    put(tmp_path, notes_dot_md=b"x", config_dot_json=b'{"a": 1}')
    for folder in (tmp_path, tmp_path / "empty"):
        folder.mkdir(exist_ok=True)
        with pytest.raises(InputError, match="there is no Parquet, JSONL, JSON or CSV file"):
            read_pairs(folder)


def test_run_and_filter_folders_stand_for_what_they_kept(tmp_path):
    run = tmp_path / "myrun"
    put(run, run_dot_json=b"{}", prompts_dot_parquet=parquet(), exports__rm__train_dot_parquet=b"junk")
    with pytest.raises(InputError, match=r"this run has no filtered/kept.parquet yet"):
        read_pairs(run)
    put(
        run,
        filtered__kept_dot_parquet=parquet(),
        filtered__rejected_dot_parquet=b"junk",
        filtered__funnel_dot_json=b"{}",
    )
    assert load_pairs(run)["source"].to_list() == ["myrun"]
    assert load_pairs(run / "filtered").height == 1
    assert read_prompts(run).kept.height == 1


def test_frames_and_datasets_are_read_as_files_are(tmp_path):
    frame = pl.DataFrame([ROW])
    data = datasets.Dataset.from_list([ROW, {**ROW, "chosen": "x"}])
    both = datasets.DatasetDict(train=data, test=data.select([1]))
    for given, height in (
        (frame, 1),
        (frame.lazy(), 1),
        (frame.to_pandas().set_index(pd.Index([7])), 1),
        ({"train": frame.to_pandas(), "test": frame.to_arrow()}, 2),
        (frame.to_arrow(), 1),
        (data, 2),
        (data.filter(lambda r: r["chosen"] == "x"), 1),
        (both, 3),
    ):
        assert load_pairs(given).height == height
        assert load_pairs([given], source="mine")["source"].unique().to_list() == ["mine"]
    assert load_pairs(frame.to_pandas()).equals(load_pairs(frame))
    assert load_pairs(frame)["source"].to_list() == [None]
    both.save_to_disk(tmp_path / "saved")
    data.save_to_disk(tmp_path / "alone")
    assert load_pairs(tmp_path / "saved")["source"].unique().to_list() == ["saved"]
    assert load_pairs(tmp_path / "alone").height == 2
    assert load_pairs(data.to_iterable_dataset()).height == 2


def test_a_frame_that_is_no_table_is_refused_with_the_cause():
    mixed = pd.DataFrame({"prompt": ["what", 1], "chosen": ["a", "b"], "rejected": ["c", "d"]})
    with pytest.raises(InputError, match="the dataset given: it cannot be read as a table"):
        read_pairs(mixed)


def test_a_hub_data_set_is_read_by_its_name(monkeypatch, tmp_path):
    asked = []

    def load(name, split=None):
        asked.append((name, split))
        if name == "no/such":
            raise datasets.exceptions.DatasetNotFoundError("Dataset 'no/such' doesn't exist")
        return datasets.Dataset.from_list([ROW])

    monkeypatch.setattr(datasets, "load_dataset", load)
    monkeypatch.chdir(tmp_path)
    assert load_pairs("org/some-name.v2")["source"].to_list() == ["org/some-name.v2"]
    assert read_pairs("org/name:train_prefs").parts[0].files == ("org/name, split train_prefs",)
    assert asked == [("org/some-name.v2", None), ("org/name", "train_prefs")]
    with pytest.raises(
        InputError, match=r"no/such: there is no such file, and as a dataset of the Hub .* doesn't exist"
    ):
        read_pairs("no/such")
    for local in ("org/name.jsonl", "a/b/c", "name", "../x/y"):
        with pytest.raises(InputError, match="No such file"):
            read_pairs(local)
    put(tmp_path, org__name=LINE)
    assert load_pairs("org/name")["source"].to_list() == ["name"]
    assert len(asked) == 3


def test_a_saved_data_set_with_a_split_without_rows_is_one_sentence(tmp_path):
    """`datasets` itself saves such and cannot load it."""
    data = datasets.Dataset.from_list([ROW])
    datasets.DatasetDict(train=data, test=data.select([])).save_to_disk(tmp_path / "saved")
    with pytest.raises(InputError, match=r"saved: .* \(a split has no row"):
        read_pairs(tmp_path / "saved")
    assert load_pairs(tmp_path / "saved/train").height == 1


def test_files_and_folders_of_an_object_store_are_read():
    memory = fsspec.filesystem("memory")
    with memory.open("/box/a.jsonl", "wb") as file:
        file.write(LINE)
    with memory.open("/box/deep/b.parquet", "wb") as file:
        file.write(parquet())
    assert load_pairs("memory://box/a.jsonl")["source"].to_list() == ["a"]
    memory.pipe({"/box/.cache/c.jsonl": LINE, "/box/LICENSE.txt": b"As is."})
    assert load_pairs("memory://box")["source"].to_list() == ["a", "b"]
    with pytest.raises(InputError, match=r"memory://box/gone\.jsonl: cannot be fetched"):
        read_pairs("memory://box/gone.jsonl")
    with pytest.raises(InputError, match="nosuch://x/y: cannot be fetched"):
        read_pairs("nosuch://x/y")


@pytest.mark.parametrize("head", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n{", b"HTTP/1.1 500 Oh\r\n\r\n"])
def test_a_server_that_fails_at_a_file_is_one_sentence(head):
    """It hangs up at once, in the middle of the file, or says that it has failed."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve():
            with suppress(OSError):
                while True:
                    with server.accept()[0] as connection:
                        connection.recv(9999)
                        connection.sendall(head)

        threading.Thread(target=serve, daemon=True).start()
        address = f"http://127.0.0.1:{server.getsockname()[1]}/pairs.jsonl"
        with pytest.raises(InputError, match=rf"^{address}: cannot be fetched"):
            read_pairs(address)
        server.shutdown(socket.SHUT_RDWR)


def test_a_connection_that_breaks_at_a_hub_data_set_is_one_sentence(monkeypatch, tmp_path):
    client = importlib.import_module(next(name for name in ("httpx2", "httpx") if importlib.util.find_spec(name)))

    def load(name, split=None):
        raise client.RemoteProtocolError("Server disconnected")

    monkeypatch.setattr(datasets, "load_dataset", load)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"org/name: .* cannot be loaded \(Server disconnected\)"):
        read_pairs("org/name")


def test_parquet_stays_on_disk(tmp_path):
    file = tmp_path / "own.parquet"
    load_pairs(pl.DataFrame([ROW])).write_parquet(file)
    plan = read_pairs(file).kept.explain()
    assert "Parquet SCAN" in plan
    file.write_bytes(parquet())
    assert "Parquet SCAN" in read_pairs(file).kept.explain()


def test_a_source_is_called_by_its_file_without_endings():
    names = {"a/kept.jsonl.gz": "kept", "x.y.parquet": "x.y", "noext": "noext", "v1.0": "v1.0", "a.CSV": "a"}
    assert {name: stem_of(name) for name in names} == names


def test_fingerprints_follow_the_content(tmp_path):
    put(tmp_path, a_dot_jsonl=LINE, b_dot_jsonl=LINE)
    first = fingerprint(tmp_path)
    assert fingerprint([tmp_path]) == first
    assert fingerprint(tmp_path / "a.jsonl") != fingerprint(tmp_path / "b.jsonl"), "they differ in source"
    put(tmp_path, b_dot_jsonl=LINE + b"\n" + LINE)
    assert fingerprint(tmp_path) != first
    frame = pl.DataFrame([ROW, ROW])
    assert fingerprint(frame) == fingerprint(pl.concat([frame[:1], frame[1:]], rechunk=False))
    assert fingerprint(frame) != fingerprint(frame[:1])
    with pytest.raises(InputError, match="No such file"):
        fingerprint(tmp_path / "gone.jsonl")
    assert len(find(str(tmp_path))) == 2


def test_a_web_address_without_its_package_says_so(monkeypatch):
    def missing(url):
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr(fsspec.core, "url_to_fs", missing)
    with pytest.raises(MissingExtraError, match="s3fs"):
        read_pairs("s3://bucket/x.parquet")
    with pytest.raises(InputError, match="gs://bucket/x: Install s3fs"):
        read_pairs("gs://bucket/x")


def test_whole_numbers_that_pandas_has_as_floats_are_whole_numbers(tmp_path):
    row = {"prompt": "q", "chosen": "a", "rejected": "b"}
    frame = pd.DataFrame([{**row, "iteration": number, "tokens_chosen": 2.5} for number in (1, None, 9)])
    frame.to_csv(tmp_path / "pairs.csv")
    frame.to_parquet(tmp_path / "pairs.parquet")
    frame.to_json(tmp_path / "pairs.jsonl", orient="records", lines=True)
    for given in (frame, *(tmp_path / f"pairs.{kind}" for kind in ("csv", "parquet", "jsonl"))):
        read = load_pairs(given)
        assert read["iteration"].to_list() == [1, None, 9]
        assert read["tokens_chosen"].is_null().all(), "what is no whole number is not made one"
        assert read["given_tokens_chosen"].to_list() == [2.5, 2.5, 2.5]
