"""What a compressed file unpacks to is bounded, and looked at before any of it is kept."""

import gzip
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from factory.commands.check_data import check_data
from factory.errors import ConfigError, InputError
from factory.exports.eval_files import questions
from factory.files import unpacking
from factory.files.unpacking import open_unpacked
from factory.readers import read_pairs, read_prompts
from filters.benchmarks import read

READERS: dict[str, Callable[[Path], object]] = {
    "pairs": read_pairs,
    "prompts": read_prompts,
    "benchmarks": read,
    "check": lambda path: check_data(path, "rm"),
    "questions": lambda path: questions(path, "alpaca_eval"),
}


OPENED: dict[str, Callable[[Path], Any]] = {
    ".gz": lambda path: gzip.GzipFile(path, "wb", 9),
    ".zst": lambda path: pa.CompressedOutputStream(str(path), "zstd"),
}
ENDINGS = [one.ending for one in unpacking.COMPRESSIONS]


def bomb(path: Path, size: int) -> Path:
    """One row whose prompt is so many equal letters."""
    with OPENED[path.suffix](path) as file:
        file.write(b'{"prompt": "')
        for _ in range(size >> 20):
            file.write(b"x" * (1 << 20))
        file.write(b'", "chosen": "a", "rejected": "b"}\n')
    return path


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("name", READERS)
def test_a_file_that_unpacks_to_more_than_it_may_is_refused(
    name: str, ending: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unpacking, "FLOOR", 1 << 20)
    path = bomb(tmp_path / f"x.jsonl{ending}", 4 << 20)
    with pytest.raises(
        InputError, match=rf"x\.jsonl\{ending}: its [\d,]+ bytes unpack to more than 1,048,576; if that"
    ):
        READERS[name](path)


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_bomb_is_found_in_level_memory(ending: str, tmp_path: Path) -> None:
    """Half a gigabyte in half a megabyte: memory grows by less than an eighth of it."""
    path = bomb(tmp_path / f"x.jsonl{ending}", 1 << 29)
    assert path.stat().st_size < 1 << 20
    code = (
        "import resource, sys; from factory.readers import read_pairs; from factory.errors import InputError\n"
        "import polars; polars.DataFrame({'a': [1]}).lazy().collect()\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "try: read_pairs(sys.argv[1])\n"
        "except InputError as error: print(error)\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    said, grown = done.stdout.splitlines()
    assert "unpack to more than 268,435,456" in said
    assert int(grown) < 64 * 1024, "kilobytes"


def test_the_bound_is_the_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = bomb(tmp_path / "x.jsonl.gz", 4 << 20)
    monkeypatch.setenv(unpacking.MOST, "0.001")
    with pytest.raises(InputError, match="more than 1,000,000"):
        read_pairs(path)
    monkeypatch.setenv(unpacking.MOST, "1")
    assert read_pairs(path).kept.collect().height == 1
    monkeypatch.setenv(unpacking.MOST, "much")
    with pytest.raises(ConfigError, match="give it a number of gigabytes"):
        read_pairs(path)


def test_a_file_of_much_the_same_rows_is_read(tmp_path: Path) -> None:
    rows = [{"prompt": f"question {n}", "chosen": "yes, it is", "rejected": "no, it is not"} for n in range(20_000)]
    data = "".join(json.dumps(row) + "\n" for row in rows).encode()
    path = tmp_path / "x.jsonl.gz"
    path.write_bytes(gzip.compress(data, 9))
    assert len(data) < unpacking.TIMES * path.stat().st_size
    assert read_pairs(path).kept.collect().height == 20_000


def test_damaged_data_is_one_sentence_and_content_decides(tmp_path: Path) -> None:
    (tmp_path / "cut.txt.gz").write_bytes(gzip.compress(b"one\ntwo\n")[:-6])
    with pytest.raises(InputError, match="damaged or cut off"):
        read(tmp_path / "cut.txt.gz")
    whole = pa.Codec("zstd").compress(b"one\ntwo\n", asbytes=True)
    (tmp_path / "cut.txt.zst").write_bytes(whole[:-2])
    with pytest.raises(InputError, match="damaged or cut off"):
        read(tmp_path / "cut.txt.zst")
    (tmp_path / "whole.txt.zst").write_bytes(whole)
    assert [item.text for item in read(tmp_path / "whole.txt.zst").items] == ["one", "two"]
    (tmp_path / "plain.txt.gz").write_text("one\ntwo\n")
    assert [item.text for item in read(tmp_path / "plain.txt.gz").items] == ["one", "two"]
    with open_unpacked(tmp_path / "plain.txt.gz") as file:
        assert file.read() == b"one\ntwo\n"
