"""The files of an export: what cannot be written is an error, however it comes about."""

import errno
import os
import resource
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from factory.exports.destinations.shards import ParquetSink

WRITE = """
import random, sys
from pathlib import Path
import polars as pl
from factory.exports.destinations.shards import ParquetSink
random = random.Random(0)
rows = pl.DataFrame({"text": [f"{random.random()} {random.random()}" for _ in range(50_000)]})
sink = ParquetSink(Path(sys.argv[1]), rows.schema)
try:
    sink.write(rows)
    sink.close()
except OSError as error:
    print("OSError", error.errno)
"""


@pytest.mark.parametrize("most", [4_096, 300_000])
def test_a_file_that_may_not_grow_is_an_error_and_not_the_end_of_the_process(most: int, tmp_path: Path) -> None:
    """In pyarrow's own hands it is a failed check, which ends the process, where pages part by their content."""
    done = subprocess.run(
        [sys.executable, "-c", WRITE, str(tmp_path / "file.parquet")],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (most, most)),
        env=os.environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout.strip()) == (0, f"OSError {errno.EFBIG}"), done.stderr


def test_a_file_has_what_was_written(tmp_path: Path) -> None:
    rows = pl.DataFrame({"number": range(50_000), "texts": [[f"t{number}"] for number in range(50_000)]})
    sink = ParquetSink(tmp_path / "file.parquet", rows.schema)
    for start in range(0, 50_000, 7_001):
        sink.write(rows.slice(start, 7_001))
    sink.close()
    assert pl.read_parquet(tmp_path / "file.parquet").equals(rows)
