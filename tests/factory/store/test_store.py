import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import factory
from factory.errors import ConfigError, StoreError
from factory.identity import digest
from factory.runs.rates import Rates
from factory.schema import Split
from factory.store import RunFolder, Stage, StageReachedError, Workspace, open_run, preview_of
from factory.store.journal import Journal
from tests.heard import Heard


def table(value: int, calls: list[int]) -> Callable[[Journal], Iterator[Split]]:
    def build(journal: Journal) -> Iterator[Split]:
        calls.append(value)
        yield Split(pl.DataFrame({"n": [value]}))

    return build


def make(root: Path, inputs: dict[str, object], value: int, calls: list[int], told: Heard | None = None) -> Stage:
    with open_run(root, told or Heard()) as folder:
        return folder.table("iterations/1/numbers", inputs, table(value, calls))


def test_a_stage_with_the_same_inputs_is_made_once(tmp_path: Path) -> None:
    calls: list[int] = []
    first = make(tmp_path, {"a": 1}, 7, calls)
    second = make(tmp_path, {"a": 1}, 8, calls)
    assert calls == [7]
    assert second.read().to_dict(as_series=False) == {"n": [7]}
    assert second.digest == first.digest
    assert (tmp_path / "iterations/1/numbers.parquet").is_file()


def test_a_changed_input_makes_it_again_and_is_named(tmp_path: Path) -> None:
    calls: list[int] = []
    told = Heard()
    make(tmp_path, {"sampling": {"temperature": 0.7, "top_p": 0.8}}, 7, calls)
    make(tmp_path, {"sampling": {"temperature": 1.0, "top_p": 0.8}}, 8, calls, told)
    assert calls == [7, 8]
    assert told.lines[0] == "iterations/1/numbers: made again, because sampling.temperature changed"


def test_what_a_stage_no_longer_makes_is_removed(tmp_path: Path) -> None:
    """Or last time's rejected rows, or votes, would pass for those of this time. Nothing outside is touched."""

    def build(rejected: int) -> Callable[[Journal], list[Split]]:
        return lambda journal: [Split(pl.DataFrame({"n": [1]}), pl.DataFrame({"reason": ["odd"] * rejected}))]

    with open_run(tmp_path / "run", Heard()) as folder:
        folder.table("numbers", {"a": 1}, build(2))
        assert (tmp_path / "run/numbers.rejected.parquet").is_file()
        manifest = tmp_path / "run/numbers.manifest.json"
        said = json.loads(manifest.read_text())
        (tmp_path / "mine").write_text("x")
        said["outputs"] |= {"../mine": said["outputs"]["numbers.parquet"]}
        said["outputs"] |= {str(tmp_path / "mine"): said["outputs"]["numbers.parquet"]}
        manifest.write_text(json.dumps(said))
        folder.table("numbers", {"a": 2}, build(0))
    assert not (tmp_path / "run/numbers.rejected.parquet").exists()
    assert (tmp_path / "run/numbers.parquet").is_file()
    assert (tmp_path / "mine").is_file()


@pytest.mark.parametrize(
    ("harm", "word"),
    [
        (lambda path: path.unlink(), "is gone"),
        (lambda path: path.write_bytes(b"x"), "has another size"),
        (lambda path: path.write_bytes(b"x" * path.stat().st_size), "has other contents"),
    ],
)
def test_a_harmed_table_is_made_again(tmp_path: Path, harm: Callable[[Path], object], word: str) -> None:
    calls: list[int] = []
    told = Heard()
    stage = make(tmp_path, {}, 7, calls)
    harm(stage.path)
    assert make(tmp_path, {}, 7, calls, told).read()["n"].to_list() == [7]
    assert calls == [7, 7]
    assert word in told.lines[0]


def test_a_touched_table_with_the_same_contents_is_reused(tmp_path: Path) -> None:
    calls: list[int] = []
    os.utime(make(tmp_path, {}, 7, calls).path, (1, 1))
    make(tmp_path, {}, 7, calls)
    assert calls == [7]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"version": 1}'])
def test_a_harmed_manifest_makes_the_stage_again(tmp_path: Path, text: str) -> None:
    calls: list[int] = []
    stage = make(tmp_path, {}, 7, calls)
    (stage.folder / "numbers.manifest.json").write_text(text)
    make(tmp_path, {}, 7, calls)
    assert calls == [7, 7]


ODD: list[Any] = [None, [], {}, "x", -1, 1.5, [[1]], {"rows": []}, {"numbers.parquet": [1]}, {"a": {"asked": "b"}}]


@pytest.mark.parametrize("name", ["version", "stage", "fingerprint", "inputs", "outputs", "facts", "used", "seconds"])
@pytest.mark.parametrize("odd", [*ODD, "[" * 500 + "]" * 500], ids=range(len(ODD) + 1))
def test_a_manifest_of_any_types_is_one_or_none(tmp_path: Path, name: str, odd: Any) -> None:
    """The stage is reused or made again, and what reads the folder says what it can."""
    calls: list[int] = []
    path = make(tmp_path, {}, 7, calls).folder / "numbers.manifest.json"
    deep = isinstance(odd, str) and len(odd) > 1
    text = json.dumps({**json.loads(path.read_text()), name: odd})
    path.write_text(text.replace(f'"{odd}"', odd) if deep else text)
    (tmp_path / "run.json").touch()
    assert [row.name for row in factory.status(tmp_path)] == ["iterations/1/numbers"]
    Rates.of(tmp_path)
    assert make(tmp_path, {}, 7, calls).read()["n"].to_list() == [7]
    assert set(calls) == {7}


def test_a_manifest_from_a_newer_version_stops_the_run(tmp_path: Path) -> None:
    stage = make(tmp_path, {}, 7, [])
    path = stage.folder / "numbers.manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "version": 99}))
    with pytest.raises(StoreError, match="newer version"):
        make(tmp_path, {}, 7, [])


def test_rejected_rows_lie_beside_the_table(tmp_path: Path) -> None:
    odd = pl.DataFrame({"n": [2, 3], "reason": ["odd", "even"]})
    splits = [Split(pl.DataFrame({"n": [1]})), Split(pl.DataFrame({"n": [4]}), odd), Split(odd.clear(), odd.head(1))]
    with open_run(tmp_path, Heard()) as folder:
        stage = folder.table("rows", {}, lambda journal: [Split(s.kept.select("n"), s.rejected) for s in splits])
    assert stage.read()["n"].to_list() == [1, 4]
    assert stage.rejected().collect()["reason"].to_list() == ["odd", "even", "odd"]
    assert stage.facts == {"rows": 2, "rejected": 3, "reasons": {"odd": 2, "even": 1}}


def test_a_table_that_a_killed_build_left_is_not_taken_for_this_ones(tmp_path: Path) -> None:
    """It had rejected a row before it was killed; made again, it rejects none."""

    def build(journal: Journal) -> Iterator[Split]:
        (left,) = tmp_path.glob(".rows.partial")
        pl.DataFrame({"n": [2], "reason": ["odd"]}).write_parquet(left / "rows.rejected.parquet")
        raise KeyboardInterrupt
        yield

    with open_run(tmp_path, Heard()) as folder:
        with pytest.raises(KeyboardInterrupt):
            folder.table("rows", {}, build)
        stage = folder.table("rows", {}, lambda journal: [Split(pl.DataFrame({"n": [1]}))])
    assert stage.rejected().collect().is_empty()


def test_what_a_killed_build_left_is_found_by_the_next_with_the_same_inputs_only(tmp_path: Path) -> None:
    def half(work: Workspace) -> dict[str, object]:
        (work.path / "checkpoint").write_text("half")
        work.journal.append(digest("a"), {"n": 1})
        raise KeyboardInterrupt

    def whole(work: Workspace) -> dict[str, object]:
        found = (work.path / "checkpoint").is_file()
        return {"found": found, "answers": len(work.journal)}

    with pytest.raises(KeyboardInterrupt), open_run(tmp_path, Heard()) as folder:
        folder.stage("s", {"a": 1}, half)
    assert not (tmp_path / "s.manifest.json").exists()
    with open_run(tmp_path, Heard()) as folder:
        assert folder.stage("s", {"a": 1}, whole).facts == {"found": True, "answers": 1}
        assert folder.stage("s", {"a": 2}, whole).facts == {"found": False, "answers": 1}


def test_a_folder_takes_the_place_of_the_former_one(tmp_path: Path) -> None:
    def leave(name: str) -> Callable[[Workspace], dict[str, object]]:
        def build(work: Workspace) -> dict[str, object]:
            (work.path / "policy").mkdir()
            (work.path / "policy" / name).write_text(name)
            return {}

        return build

    with open_run(tmp_path, Heard()) as folder:
        folder.stage("train", {"a": 1}, leave("old"))
        stage = folder.stage("train", {"a": 2}, leave("new"))
    assert [path.name for path in (tmp_path / "policy").iterdir()] == ["new"]
    assert list(stage.outputs) == ["policy/new"]


def test_until_stops_after_the_stage(tmp_path: Path) -> None:
    with open_run(tmp_path, Heard(), until="1/numbers") as folder, pytest.raises(StageReachedError):
        folder.table("iterations/1/numbers", {}, table(1, []))
    assert (tmp_path / "iterations/1/numbers.manifest.json").is_file()


def test_a_second_process_is_told_who_holds_the_run(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path\n"
        "from factory.store import open_run; from factory.progress import Silent\n"
        "with open_run(Path(sys.argv[1]), Silent()): pass"
    )
    with open_run(tmp_path, Heard()):
        done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=False)
    assert f"in use by process {os.getpid()}" in done.stderr
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False).returncode == 0


def test_a_run_folder_that_is_a_file_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with (
        pytest.raises(ConfigError, match="file is a file, and the output is a folder"),
        open_run(tmp_path / "file", Heard()),
    ):
        pass


def test_no_temporary_file_is_left(tmp_path: Path) -> None:
    make(tmp_path, {}, 7, [])
    names = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file())
    assert names == [".lock", ".sso-factory.json", "iterations/1/numbers.manifest.json", "iterations/1/numbers.parquet"]
    assert isinstance(RunFolder, type)


def test_a_preview_lies_beside_its_run_wherever_one_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "run/in").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "run")
    assert preview_of(Path("runs/a")) == Path("runs/a-preview")
    assert preview_of(Path()) == tmp_path / "run-preview"
    monkeypatch.chdir(tmp_path / "run/in")
    assert preview_of(Path("..")) == tmp_path / "run-preview"
