"""`check-data`: anybody's files against the rules of a format."""

from pathlib import Path

import polars as pl
import pytest

from factory.commands.check_data import check_data
from factory.commands.export import export
from factory.errors import ConfigError, InputError
from tests.heard import Heard
from tests.pairs import assistant, pairs, user


def test_files_that_keep_the_rules_are_counted_and_the_first_broken_row_is_named(tmp_path: Path) -> None:
    export(pairs(6), "rm", tmp_path / "out")
    said = Heard()
    (found,) = check_data(str(tmp_path / "out"), "rm", progress=said)
    assert (found.path, found.format, found.rows) == (tmp_path / "out", "rm", 12)
    assert said.lines == [f"{tmp_path / 'out'}: 12 rows keep the rules of rm"]
    bad = pl.DataFrame([{"chosen": [user("q")], "rejected": [user("q"), assistant("a")]}])
    bad.write_parquet(tmp_path / "bad.parquet")
    with pytest.raises(InputError, match=r"bad\.parquet: row 1"):
        check_data([tmp_path / "out", tmp_path / "bad.parquet"], "rm")


def test_what_is_no_file_is_refused() -> None:
    with pytest.raises(ConfigError, match="works on files"):
        check_data(pairs(2), "rm")


def test_an_empty_text_is_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As of a variable of the shell that is not set: as a path it is the folder one is in."""
    export(pairs(6), "rm", tmp_path)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match="'' is no path"):
        check_data("", "rm")
