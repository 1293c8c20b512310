"""Laws over every command that writes: what the factory did not write is never overwritten, removed or read into."""

import errno
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from unittest.mock import Mock

import pytest

import factory
from factory.commands.answers import answers
from factory.config import Judge
from factory.config.engines import ScriptedEngine
from factory.errors import ConfigError, FactoryError, StoreError
from factory.exports import EXPORTERS
from factory.store.lock import locked
from factory.store.ownership import RECORD
from tests.pairs import pairs
from tests.runs import run_folder

Command = Callable[[Path, Path], object]
"""Does its work on the inputs in the first folder, into the second."""


def _export(name: str) -> Command:
    return lambda given, out: factory.export(given / "pairs.parquet", name, out, test_share=0.3)


def _run(given: Path, out: Path) -> object:
    config = {
        "prompts": {"paths": [str(given / "prompts.jsonl")]},
        "policy": {"model": "scripted"},
        "engine": "scripted",
        "run": {"iterations": 1},
        "filters": [{"use": "duplicate"}],
        "audit": {"judge": {"name": "auditor", "engine": {"kind": "scripted"}}, "sample": 4},
    }
    return factory.run(config, out)


JUDGE = Judge(name="auditor", engine=ScriptedEngine())
COMMANDS: dict[str, Command] = {
    **{f"export {name}": _export(name) for name in EXPORTERS},
    "filter": lambda given, out: factory.filter(given / "pairs.parquet", out),
    "audit": lambda given, out: factory.audit(given / "pairs.parquet", out=out, judge=JUDGE),
    "answers": lambda given, out: answers(
        given / "prompts.jsonl", "alpaca_eval", out, policy="scripted", engine=ScriptedEngine()
    ),
    "init": lambda given, out: factory.init(out),
    "report": lambda given, out: factory.report(given / "run", out / "report.html"),
    "run": _run,
}
OF_MODELS: dict[str, tuple[Command, tuple[str, ...]]] = {
    "train": (
        lambda given, out: factory.train(given / "pairs.parquet", "no/model", out),
        ("policy/model.safetensors", "policy/sub/any.bin", "metrics.jsonl", "train.manifest.json"),
    ),
    "reward train": (
        lambda given, out: factory.reward_train(given / "pairs.parquet", "no/model", out),
        ("model/config.json", "metrics.jsonl", "reward.journal.jsonl"),
    ),
    "reward score": (
        lambda given, out: factory.reward_score(given / "pairs.parquet", "no/model", out),
        ("score.json", "scores.parquet", ".score.partial"),
    ),
    "review": (
        lambda given, out: factory.review(given / "pairs.parquet", out / "labels.parquet"),
        ("labels.parquet", "labels.reviewer.jsonl"),
    ),
}
"""Commands that need a model or a person, with names that they write."""
FOREIGN = "somebody's own"


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("given")
    pairs(12).write_parquet(folder / "pairs.parquet")
    lines = [json.dumps({"prompt": f"question {n}", "instruction": f"question {n}"}) for n in range(6)]
    (folder / "prompts.jsonl").write_text("\n".join(lines))
    run_folder(folder / "run", prompts=6)
    return folder


@pytest.fixture(scope="module")
def written(given: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """What each command leaves in a folder of its own, scratch and README.md aside, which is never overwritten."""
    found = {}
    for name, command in COMMANDS.items():
        out = tmp_path_factory.mktemp("made") / "out"
        command(given, out)
        names = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
        found[name] = sorted(one for one in names if one != "README.md" and not Path(one).name.startswith("."))
    return found


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of a folder; the lock and the record say who was there."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.name not in (".lock", RECORD))
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def refused(command: Command, given: Path, out: Path, name: str) -> None:
    (out / name).parent.mkdir(parents=True)
    (out / name).write_text(FOREIGN)
    with pytest.raises(FactoryError) as caught:
        command(given, out)
    assert caught.value.exit_code == 2
    assert str(out / name) in str(caught.value)
    assert contents(out) == {name: FOREIGN.encode()}, "nothing is lost, and nothing was begun"
    assert not (out / ".lock").exists(), "no trace stays in a folder that is somebody else's"


@pytest.mark.parametrize("name", COMMANDS)
def test_a_foreign_file_at_any_name_written_is_refused(
    name: str, given: Path, written: dict[str, list[str]], tmp_path: Path
) -> None:
    assert len(written[name]) >= (1 if name in ("report",) else 2)
    for number, place in enumerate(written[name]):
        refused(COMMANDS[name], given, tmp_path / str(number) / "out", place)


@pytest.mark.parametrize("name", OF_MODELS)
def test_so_it_is_where_a_model_is_made_or_measured(name: str, given: Path, tmp_path: Path) -> None:
    command, places = OF_MODELS[name]
    for number, place in enumerate(places):
        refused(command, given, tmp_path / str(number) / "out", place)


@pytest.mark.parametrize("name", [name for name in COMMANDS if name.startswith("export")])
def test_a_foreign_file_that_a_reader_would_take_for_data_is_refused(name: str, given: Path, tmp_path: Path) -> None:
    as_json = name.endswith("llamafactory")
    places = ("train/train-00000-of-00009.parquet", "test.json") if as_json else ("data/train-00000-of-00009.parquet",)
    for number, place in enumerate(places):
        refused(COMMANDS[name], given, tmp_path / str(number) / "out", place)


@pytest.mark.parametrize("name", [name for name in COMMANDS if name != "init"])
def test_what_stands_beside_is_kept_and_the_own_is_replaced(name: str, given: Path, tmp_path: Path) -> None:
    (tmp_path / "out" / "data").mkdir(parents=True)
    beside = ("notes.md", "data/mine.txt", "README.md", "train.txt")
    for place in beside:
        (tmp_path / "out" / place).write_text(FOREIGN)
    for _ in range(2):
        COMMANDS[name](given, tmp_path / "out")
    assert [(tmp_path / "out" / place).read_text() for place in beside] == [FOREIGN] * len(beside)


def _link(given: Path, folder: Path) -> None:
    (folder / "pairs.parquet").symlink_to(given / "pairs.parquet")


def _hard(given: Path, folder: Path) -> None:
    os.link(given / "pairs.parquet", folder / "pairs.parquet")


READING: dict[str, Callable[[Path, Path], object]] = {
    **{f"export {name}": lambda path, out, name=name: factory.export(path, name, out) for name in EXPORTERS},
    "export mix": lambda path, out: factory.export(pairs(3), "rm", out, mix=[str(path)]),
    "export decontaminate": lambda path, out: factory.export(pairs(3), "rm", out, decontaminate=[path]),
    "filter": lambda path, out: factory.filter(path, out),
    "filter judgments": lambda path, out: factory.filter(pairs(3), out, judgments=path),
    "audit": lambda path, out: factory.audit(path, out=out, judge=JUDGE),
    "answers": lambda path, out: answers(path, "alpaca_eval", out, policy="scripted", engine=ScriptedEngine()),
    "train": lambda path, out: factory.train(path, "no/model", out),
    "train policy": lambda path, out: factory.train(pairs(3), str(path.parent), out),
    "reward train": lambda path, out: factory.reward_train(path, "no/model", out),
    "reward score": lambda path, out: factory.reward_score(path, "no/model", out),
    "run": lambda path, out: factory.run({"prompts": {"paths": [str(path)]}, "engine": "scripted"}, out),
}
"""Commands by what they read: the path is an input."""


@pytest.mark.parametrize("name", READING)
def test_an_output_that_is_or_lies_around_or_inside_an_input_is_refused(name: str, given: Path, tmp_path: Path) -> None:
    for place in (lambda given, folder: _copy(given, folder), _link, _hard):
        folder = tmp_path / str(len(list(tmp_path.iterdir()))) / "folder"
        folder.mkdir(parents=True)
        place(given, folder)
        path = folder / "pairs.parquet"
        (folder.parent / "way").symlink_to(folder)
        before = contents(folder.parent)
        for out in (path, folder, folder.parent, folder.parent / "way"):
            with pytest.raises(ConfigError, match=r"the output .* the input"):
                READING[name](path, out)
        assert contents(folder.parent) == before


@pytest.mark.parametrize("name", READING)
def test_an_input_at_home_is_guarded_there(
    name: str, given: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Polars reads `~` as the home, and so it is held apart from the output."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    _copy(given, tmp_path / "home")
    before = contents(tmp_path)
    with pytest.raises(ConfigError, match=r"the output .* the input"):
        READING[name](Path("~/pairs.parquet"), tmp_path / "home")
    assert contents(tmp_path) == before


def test_an_input_at_home_is_read_there(given: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(given))
    for name in ("pairs.parquet", "run"):
        assert factory.filter(f"~/{name}", tmp_path / name).input == factory.load_pairs(given / name).height


@pytest.mark.parametrize("name", [*COMMANDS, *OF_MODELS])
def test_no_folder_is_made_that_is_called_like_the_home_or_a_url(
    name: str, given: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half of what wrote there would write at home, and `rm -r ~` would be how to be rid of the other."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    command = {**COMMANDS, **{name: command for name, (command, _) in OF_MODELS.items()}}[name]
    for out, why in (("~/out", "begins with ~"), ("file:///out", "is a URL")):
        with pytest.raises(ConfigError, match=why):
            command(given, Path(out))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("name", "out"), [*((name, ".") for name in COMMANDS), ("filter", ".."), ("run", "..")])
def test_the_folder_one_stands_in_is_one_to_write_to(
    name: str, out: str, given: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the way to the inputs leads up from it."""
    (tmp_path / "out/in").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "out/in")
    COMMANDS[name](Path(os.path.relpath(given)), Path(out))
    assert len(list((tmp_path / "out/in" / out).iterdir())) >= 2


@pytest.mark.parametrize("name", COMMANDS)
def test_a_folder_whose_name_is_a_pattern_is_no_other_one(
    name: str, given: Path, written: dict[str, list[str]], tmp_path: Path
) -> None:
    """`out[1]` would fit `out1`, and `out?` both; what lies there is neither read nor touched."""
    for other in ("out1", "out2"):
        for place in written[name]:
            (tmp_path / other / place).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / other / place).write_text(FOREIGN)
    for folder in ("out[1]", "out?"):
        COMMANDS[name](given, tmp_path / folder)
        assert set(written[name]) <= contents(tmp_path / folder).keys()
    assert {text for other in ("out1", "out2") for text in contents(tmp_path / other).values()} == {FOREIGN.encode()}


@pytest.mark.parametrize("name", [*COMMANDS, *OF_MODELS])
def test_a_folder_whose_name_is_no_utf8_is_one_sentence(name: str, given: Path, tmp_path: Path) -> None:
    """Polars knows no such paths, and would end the work in a TypeError."""
    command = {**COMMANDS, **{name: command for name, (command, _) in OF_MODELS.items()}}[name]
    with pytest.raises(ConfigError, match="is not UTF-8"):
        command(given, tmp_path / "out\udcff")
    assert not list(tmp_path.iterdir())


def test_a_file_whose_name_is_no_utf8_is_read(given: Path, tmp_path: Path) -> None:
    frame = pairs(3)
    for ending in ("parquet", "jsonl"):
        path = tmp_path / f"in\udcff.{ending}"

        frame.write_parquet(tmp_path / "x") if ending == "parquet" else frame.write_ndjson(tmp_path / "x")
        (tmp_path / "x").rename(path)
        assert factory.filter(path, tmp_path / ending, config={"filters": [{"use": "duplicate"}]}).input == frame.height


@pytest.mark.parametrize("file", ["page[1].html", "page?.html", "[a].html"])
def test_a_foreign_file_whose_name_is_a_pattern_is_refused(file: str, given: Path, tmp_path: Path) -> None:
    for command in (
        lambda path: factory.report(given / "run", path),
        lambda path: factory.review(given / "pairs.parquet", path),
    ):
        refused(
            lambda _, out, command=command: command(out / file), given, tmp_path / command.__code__.co_names[-1], file
        )


@pytest.mark.parametrize("name", [*READING, "init", "report", "review"])
def test_a_file_in_place_of_the_output_folder_is_refused(name: str, given: Path, tmp_path: Path) -> None:
    """A file there, one where a folder above is to be, and a link that leads nowhere."""
    (tmp_path / "in").mkdir()
    _copy(given, tmp_path / "in")
    (tmp_path / "in" / "run.json").write_text("{}")
    (tmp_path / "file").write_text("mine")
    (tmp_path / "lost").symlink_to("nowhere")
    more = {
        "init": lambda _, out: factory.init(out),
        "report": lambda path, out: factory.report(path.parent, out / "page.html"),
        "review": lambda path, out: factory.review(path, out / "labels.parquet"),
    }
    before = contents(tmp_path)
    for out in (tmp_path / "file", tmp_path / "file" / "below", tmp_path / "lost"):
        with pytest.raises(ConfigError, match=r"(file|lost) is a (file|link that leads nowhere), and the output"):
            {**READING, **more}[name](tmp_path / "in" / "pairs.parquet", out)
    assert contents(tmp_path) == before


def _copy(given: Path, folder: Path) -> None:
    (folder / "pairs.parquet").write_bytes((given / "pairs.parquet").read_bytes())


def test_an_output_inside_a_folder_that_is_read_is_refused(given: Path, tmp_path: Path) -> None:
    _copy(given, tmp_path)
    for command in (factory.filter, factory.review, lambda path, out: factory.export(path, "rm", out)):
        with pytest.raises(ConfigError, match="lies inside the input"):
            command(tmp_path, tmp_path / "new" / "out")
    assert not (tmp_path / "new").exists()


def test_an_input_that_is_a_hard_link_of_an_output_keeps_what_it_holds(given: Path, tmp_path: Path) -> None:
    factory.filter(given / "pairs.parquet", tmp_path / "out")
    os.link(tmp_path / "out/kept.parquet", tmp_path / "input.parquet")
    before = (tmp_path / "input.parquet").read_bytes()
    factory.filter(tmp_path / "input.parquet", tmp_path / "out", config={"filters": [{"use": "length_balance"}]})
    assert (tmp_path / "input.parquet").read_bytes() == before


def test_an_export_that_somebody_changed_is_refused_and_its_readme_is_theirs(given: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    COMMANDS["export rm"](given, out)
    (out / "README.md").write_text((out / "README.md").read_text() + "\nmy own words")
    COMMANDS["export rm"](given, out)
    assert "my own words" in (out / "README.md").read_text()
    (shard, *_) = out.glob("data/train-*")
    shard.write_bytes(b"changed")
    with pytest.raises(ConfigError, match="was changed since sso-factory wrote it"):
        COMMANDS["export rm"](given, out)
    assert shard.read_bytes() == b"changed"


def test_a_table_of_a_run_that_somebody_changed_is_set_aside_and_made_again(given: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    COMMANDS["run"](given, out)
    before = contents(out)["filtered/kept.parquet"]
    (out / "filtered/kept.parquet").write_text("changed by hand")
    (out / "report.html").write_text("with notes")
    COMMANDS["run"](given, out)
    assert (out / "filtered/kept.parquet").read_bytes() == before
    assert (out / "set-aside/filtered/kept.parquet").read_text() == "changed by hand"
    assert (out / "set-aside/report.html").read_text() == "with notes"


def test_a_run_folder_of_a_version_without_records_goes_on(given: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    COMMANDS["run"](given, out)
    (out / RECORD).unlink()
    (out / "filtered/filter.manifest.json").unlink()
    (out / "filtered/kept.parquet").unlink()
    (out / "filtered/rejected.parquet").unlink()
    (out / "filtered/funnel.json").unlink()
    COMMANDS["run"](given, out)
    assert (out / "filtered/kept.parquet").is_file()
    assert not (out / "set-aside").exists()


def test_a_run_folder_that_was_copied_without_hidden_files_goes_on(given: Path, tmp_path: Path) -> None:
    COMMANDS["run"](given, tmp_path / "run")
    out = tmp_path / "copy"
    shutil.copytree(tmp_path / "run", out, ignore=shutil.ignore_patterns(".*"))
    (out / "filtered/kept.parquet").write_text(FOREIGN)
    COMMANDS["run"](given, out)
    assert contents(out / "exports").keys() == contents(tmp_path / "run/exports").keys()
    assert not (out / "set-aside/iterations").exists(), "what a manifest lists is the run's"
    assert (out / "set-aside/filtered/kept.parquet").read_text() == FOREIGN


def test_a_command_does_not_overwrite_what_another_one_wrote(given: Path, tmp_path: Path) -> None:
    COMMANDS["filter"](given, tmp_path)
    before = (tmp_path / "kept.parquet").read_bytes()
    with pytest.raises(ConfigError, match=r"kept\.parquet was written by filter"):
        factory.report(given / "run", tmp_path / "kept.parquet")
    assert (tmp_path / "kept.parquet").read_bytes() == before


HALF = '{"made_by": "sso-factory", "version": 1, "files": {"a": 1}}'


@pytest.mark.parametrize("text", ["", "{}", "[]", HALF, "\xff"])
def test_a_record_that_is_none_is_one_sentence(text: str, given: Path, tmp_path: Path) -> None:
    (tmp_path / RECORD).write_text(text)
    with pytest.raises(ConfigError, match="is no record"):
        COMMANDS["filter"](given, tmp_path)
    assert (tmp_path / RECORD).read_text() == text


@pytest.mark.parametrize("name", [*COMMANDS, *OF_MODELS])
def test_a_second_command_on_one_folder_is_told_who_holds_it(name: str, given: Path, tmp_path: Path) -> None:
    if name == "init":
        return
    command = COMMANDS.get(name) or OF_MODELS[name][0]
    with locked(tmp_path / "out"), pytest.raises(StoreError, match=f"in use by process {os.getpid()}"):
        command(given, tmp_path / "out")
    assert contents(tmp_path / "out") == {}


def test_a_file_system_without_locks_is_told_from_a_folder_in_use(
    given: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fcntl.flock", Mock(side_effect=OSError(errno.ENOSYS, "Function not implemented")))
    with pytest.raises(StoreError, match=r"its file system has no locks \(Function not implemented\)"):
        COMMANDS["filter"](given, tmp_path / "out")


def test_a_lock_that_is_another_programs_is_left_alone(given: Path, tmp_path: Path) -> None:
    (tmp_path / ".lock").write_text("apt")
    with pytest.raises(ConfigError, match=r"\.lock was not written by sso-factory"):
        COMMANDS["filter"](given, tmp_path)
    assert (tmp_path / ".lock").read_text() == "apt"
