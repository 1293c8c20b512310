"""The record of a folder: what a command wrote there, whatever happens to it or to the folder."""

import json
from pathlib import Path

import pytest

from factory.store.outputs import described
from factory.store.ownership import RECORD, Content, Record


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of a folder; the lock and the record say who was there."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.name not in (".lock", RECORD))
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def test_a_file_is_known_before_it_is_put_in_place(tmp_path: Path) -> None:
    """Killed between any two steps of `publish`, both the former file and the new one are the factory's own."""
    (tmp_path / "work").mkdir()
    (tmp_path / "work/a").write_text("old")
    Record.read(tmp_path).publish(tmp_path / "work", tmp_path, "x")
    (tmp_path / "new").write_text("new")
    Record.read(tmp_path).announce({"a": Content.of(described(tmp_path)["new"])}, "x")
    assert Record.read(tmp_path).owns("a", "x")
    (tmp_path / "new").replace(tmp_path / "a")
    assert Record.read(tmp_path).owns("a", "x")
    (tmp_path / "a").write_text("third")
    assert not Record.read(tmp_path).owns("a", "x")


@pytest.mark.parametrize("moved", range(4))
def test_what_is_put_in_place_is_ones_own_wherever_it_is_interrupted(
    moved: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of three files, the one in the middle is there from before; then the same is put in place again."""

    def publish(text: str) -> list[Path]:
        for name in ("a", "b", "c") if text == "new" else ("b",):
            (tmp_path / "work").mkdir(exist_ok=True)
            (tmp_path / "work" / name).write_text(text)
        return Record.read(tmp_path).publish(tmp_path / "work", tmp_path, "x").aside

    publish("old")
    replace, done = Path.replace, []

    def interrupted(path: Path, target: Path) -> Path:
        if path.parent.name == "work":
            done.append(path)
            if len(done) > moved:
                raise KeyboardInterrupt
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", interrupted)
    if moved < 3:
        with pytest.raises(KeyboardInterrupt):
            publish("new")
    monkeypatch.setattr(Path, "replace", replace)
    assert publish("new") == []
    assert [(tmp_path / name).read_text() for name in "abc"] == ["new"] * 3


def test_a_record_names_nothing_outside_its_folder(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("x")
    out = tmp_path / "out"
    out.mkdir()
    known = [list(described(tmp_path)["mine"])[::2]]
    files = {name: {"by": "x", "contents": known} for name in ("../mine", str(tmp_path / "mine"))}
    (out / RECORD).write_text(json.dumps({"version": 1, "made_by": "sso-factory", "files": files}))
    (out / "work").mkdir()
    Record.read(out).publish(out / "work", out, "x")
    assert (tmp_path / "mine").is_file()
