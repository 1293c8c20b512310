"""Every rule has a row that breaks it, and is named with that row."""

import gzip
import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from factory.config import Export
from factory.errors import ConfigError, InputError
from factory.exports import EXPORTERS
from factory.exports.check import check, require
from factory.exports.check.rules import FORMAT_RULES
from factory.exports.destinations.write import export
from tests.pairs import SYSTEM, assistant, pair, pairs, user

RM = {"chosen": [user("q"), assistant("a")], "rejected": [user("q"), assistant("b")]}
DPO = {"prompt": [user("q")], "chosen": [assistant("a")], "rejected": [assistant("b")]}
SSO = {"prompt": [user("q")], "chosen": "a", "rejected": "b", "original": None, "system_good": None, "system_bad": None}
ALPACA = {"instruction": "q", "system": "", "history": [["1", "2"]], "chosen": "a", "rejected": "b"}
SHAREGPT = {
    "conversations": [{"from": "human", "value": "q"}],
    "chosen": {"from": "gpt", "value": "a"},
    "rejected": {"from": "gpt", "value": "b"},
}
AXOLOTL = {"system": "", "input": "q", "chosen": "a", "rejected": "b"}
VERL = {"prompt": "q", "chosen": "a", "rejected": "b"}
KTO = {"prompt": [user("q")], "completion": [assistant("a")], "label": True}
TPO = {**DPO, "reference": [assistant("a")]}
SDFT = {"prompt": [user("q")], "privileged_context": "Be kind."}
PAIR = pair([user("q")], "a", "b")
GOOD = {
    "rm": RM,
    "dpo": DPO,
    "sso": SSO,
    "llamafactory": ALPACA,
    "axolotl": AXOLOTL,
    "pairs": PAIR,
    "verl": VERL,
    "kto": KTO,
    "tpo": TPO,
    "sdft": SDFT,
}

BROKEN: list[tuple[str, dict[str, Any], str]] = [
    ("rm", {"rejected": RM["rejected"]}, "no column chosen"),
    ("rm", {**RM, "prompt": "q"}, "a column prompt"),
    ("rm", {**RM, "question": "q"}, "a column question"),
    ("rm", {**RM, "input": "q"}, "a column input"),
    ("rm", {**RM, "margin": 1.0}, "a column margin"),
    ("rm", {**RM, "tools": None}, "a column tools"),
    ("rm", {**RM, "messages": []}, "a column messages"),
    ("rm", {**RM, "chosen": "a"}, "chosen is str"),
    ("rm", {**RM, "rejected": []}, "rejected is an empty list"),
    ("rm", {**RM, "chosen": [{"content": "a"}]}, "turn 1 of chosen has no role"),
    ("rm", {**RM, "chosen": [user("q"), {"role": "assistant", "content": None}]}, "content of turn 2"),
    ("rm", {**RM, "chosen": [SYSTEM, *RM["chosen"]]}, "turn 1 of chosen is system where user is due"),
    ("rm", {**RM, "rejected": [user("q"), user("r"), assistant("b")]}, "turn 2 of rejected is user"),
    ("rm", {**RM, "chosen": [user("q"), assistant("a"), user("r")]}, "chosen ends with a turn of user"),
    ("rm", {**RM, "rejected": [user("q")]}, "rejected ends with a turn of user"),
    ("rm", {**RM, "rejected": [user("q"), assistant(" \n")]}, "the reply of rejected is empty"),
    ("rm", {**RM, "rejected": [user("other"), assistant("b")]}, "part before the last turn"),
    ("rm", {**RM, "rejected": RM["chosen"]}, "the same"),
    ("dpo", {**DPO, "prompt": "q"}, "prompt is str"),
    ("dpo", {**DPO, "prompt": [user("q"), assistant("a")]}, "prompt ends with a turn of assistant"),
    ("dpo", {**DPO, "chosen": [user("q"), assistant("a")]}, "chosen has the turns user, assistant"),
    ("dpo", {**DPO, "chat_template_kwargs": None}, "a column chat_template_kwargs"),
    ("dpo", {**DPO, "rejected": [assistant("")]}, "the reply of rejected is empty"),
    ("dpo", {**DPO, "rejected": DPO["chosen"]}, "the same"),
    ("sso", {**SSO, "original": 3}, "original is int"),
    ("sso", {key: value for key, value in SSO.items() if key != "system_bad"}, "no column system_bad"),
    ("llamafactory", {**ALPACA, "instruction": ""}, "instruction is empty"),
    ("llamafactory", {**ALPACA, "chosen": {"from": "gpt"}}, "chosen is dict"),
    ("llamafactory", {**ALPACA, "history": [["1"]]}, "entry 1 of history is not two texts"),
    ("llamafactory", {**ALPACA, "rejected": "a"}, "the same"),
    ("llamafactory", {**SHAREGPT, "chosen": "a"}, "chosen is str without"),
    ("llamafactory", {**SHAREGPT, "chosen": {"from": "human", "value": "a"}}, "chosen is from human"),
    ("llamafactory", {**SHAREGPT, "conversations": SHAREGPT["conversations"] * 2}, "turn 2 of conversations"),
    ("axolotl", {**AXOLOTL, "input": None}, "input is missing"),
    ("axolotl", {key: value for key, value in AXOLOTL.items() if key != "system"}, "no column system"),
    ("verl", {**VERL, "prompt": [user("q")]}, "prompt is list"),
    ("verl", {**VERL, "prompt": " "}, "prompt is empty"),
    ("verl", {**VERL, "rejected": "a"}, "the same"),
    ("kto", {**KTO, "label": 1}, "label is int"),
    ("kto", {**KTO, "completion": "a"}, "completion is str"),
    ("kto", {**KTO, "completion": [user("q"), assistant("a")]}, "completion has the turns user, assistant"),
    ("kto", {**KTO, "images": []}, "a column images"),
    ("tpo", {key: value for key, value in TPO.items() if key != "reference"}, "no column reference"),
    ("tpo", {**TPO, "reference": [user("q"), assistant("a")]}, "reference has the turns"),
    ("tpo", {**TPO, "rejected": TPO["chosen"]}, "the same"),
    ("sdft", {**SDFT, "privileged_context": None}, "privileged_context is missing"),
    ("sdft", {**SDFT, "prompt": [user("q"), assistant("a")]}, "prompt ends with a turn of assistant"),
    ("pairs", {**PAIR, "chosen": "other"}, "pair_id is not that"),
    ("pairs", {**PAIR, "prompt": [user("other")]}, "prompt_id is not that"),
]  # fmt: skip


def written(path: Path, *rows: Any) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_there_are_rules_for_every_format_and_a_broken_row_for_each_format() -> None:
    assert set(FORMAT_RULES) == set(EXPORTERS) == set(GOOD) == {name for name, _, _ in BROKEN}


@pytest.mark.parametrize("name", GOOD)
def test_good_rows_pass(name: str, tmp_path: Path) -> None:
    assert require(written(tmp_path / "a.jsonl", GOOD[name], GOOD[name]), name) == 2


def test_sharegpt_rows_pass(tmp_path: Path) -> None:
    system = [{"from": "system", "value": "s"}, *SHAREGPT["conversations"]]
    assert require(written(tmp_path / "a.jsonl", SHAREGPT, {**SHAREGPT, "conversations": system}), "llamafactory") == 2


@pytest.mark.parametrize(("name", "row", "found"), BROKEN)
def test_a_broken_row_is_named_with_its_rule(name: str, row: dict[str, Any], found: str, tmp_path: Path) -> None:
    file = written(tmp_path / "a.jsonl", GOOD[name], row, GOOD[name])
    result = check(file, name)
    assert (result.rows, result.broken) == (3, 1)
    (problem,) = result.problems
    assert (problem.file, problem.row) == (file, 2)
    assert found in problem.found
    with pytest.raises(InputError, match=r"a\.jsonl: row 2: .*, but "):
        require(file, name)


def test_all_broken_rows_are_counted_and_the_first_ones_listed(tmp_path: Path) -> None:
    result = check(written(tmp_path / "a.jsonl", *[{**RM, "margin": 0}] * 30), "rm", most=5)
    assert (len(result.problems), result.broken) == (5, 30)
    with pytest.raises(InputError, match="30 of 30 rows"):
        require(tmp_path / "a.jsonl", "rm")


@pytest.mark.parametrize("name", EXPORTERS)
@pytest.mark.parametrize("shard_rows", [10, 1000])
def test_what_we_write_passes(name: str, shard_rows: int, tmp_path: Path) -> None:
    done = export(pairs(40, margin=1.0), name, tmp_path / "out", Export(shard_rows=shard_rows))
    assert require(tmp_path / "out", name) == sum(done.rows.values())


def test_a_system_message_is_allowed_where_it_is_kept(tmp_path: Path) -> None:
    led = {name: [SYSTEM, *turns] for name, turns in RM.items()}
    file = written(tmp_path / "a.jsonl", led)
    assert require(file, "rm", keep_system=True) == 1
    with pytest.raises(InputError, match="no system message"):
        require(file, "rm")
    twice = {name: [SYSTEM, *turns] for name, turns in led.items()}
    with pytest.raises(InputError, match="turn 2 of chosen is system where user is due"):
        require(written(tmp_path / "b.jsonl", twice), "rm", keep_system=True)


def test_files_of_every_kind_are_read(tmp_path: Path) -> None:
    pl.DataFrame([RM]).write_parquet(tmp_path / "a.parquet")
    (tmp_path / "b.json").write_text("\ufeff \n" + json.dumps([RM, RM]))
    with gzip.open(tmp_path / "c.jsonl.gz", "wt") as file:
        file.write(json.dumps(RM))
    (tmp_path / ".hidden.jsonl").write_text("no")
    (tmp_path / "notes.txt").write_text("no")
    assert require(tmp_path, "rm") == 4
    (tmp_path / "d.csv").write_text("system,input,chosen,rejected\n,q,a,b\n")
    assert require(tmp_path / "d.csv", "axolotl") == 1


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", b"{not json", "cannot be read as jsonl"),
        ("a.parquet", b"not parquet", "cannot be read as parquet"),
        ("a.jsonl.gz", b"not gzip", "cannot be read as jsonl"),
        ("a.jsonl", b"\xff\xfe", "cannot be read as jsonl"),
        ("a.xlsx", b"x", "not one of"),
        ("a.jsonl", b"", "has no row"),
        ("a.jsonl", b"[1, 2]", "the row is int"),
    ],
)
def test_unreadable_files_are_said_in_one_sentence(name: str, content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        require(tmp_path / name, "rm")
    assert "\n" not in str(caught.value)


def test_a_missing_file_an_empty_folder_and_an_unknown_format_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        require(tmp_path / "no", "rm")
    with pytest.raises(InputError, match="holds no"):
        require(tmp_path, "rm")
    with pytest.raises(ConfigError, match="rm, dpo"):
        require(tmp_path, "nothing")


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"ranking": None}, "ranking: None"),
        ({"file_name": "gone.json"}, "names gone.json"),
        ({"columns": {"prompt": "instruction", "chosen": "chosen"}}, "does not list rejected"),
    ],
)
def test_dataset_info_is_checked(change: dict[str, Any], found: str, tmp_path: Path) -> None:
    export(pairs(4), "llamafactory", tmp_path)
    info = tmp_path / "dataset_info.json"
    entries = json.loads(info.read_text())
    info.write_text(json.dumps({name: {**entry, **change} for name, entry in entries.items()}))
    with pytest.raises(InputError, match=found):
        require(tmp_path, "llamafactory")
    for told in ([1], {"pairs": 1}, {**entries, "x": {**next(iter(entries.values())), "columns": [1]}}):
        info.write_text(json.dumps(told))
        with pytest.raises(InputError, match=r"dataset_info\.json"):
            require(tmp_path, "llamafactory")
    info.unlink()
    with pytest.raises(InputError, match="there is no dataset_info"):
        require(tmp_path, "llamafactory")
