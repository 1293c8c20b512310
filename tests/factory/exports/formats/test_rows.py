"""The rows of each format, by hand."""

import json
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import datasets
import polars as pl
import pytest

from factory.config import Export
from factory.exports.card.facts import card_facts
from factory.exports.destinations.plan import held_out
from factory.exports.destinations.write import export
from factory.exports.facts import Share
from factory.readers import read_pairs
from tests.exported import rows
from tests.heard import Heard
from tests.pairs import SYSTEM, assistant, pair, pairs, table, user

FEW = Export(test_share=0.25, shard_rows=1000)


@pytest.fixture(autouse=True)
def _quiet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    datasets.disable_progress_bars()


def test_rm_holds_whole_conversations_with_the_system_message_in_the_first_turn(tmp_path: Path) -> None:
    """Two conversations in full; the prompt's own system message stands above the first user turn."""
    prompt = [SYSTEM, user("one"), assistant("two"), user("three")]
    export(table([pair(prompt, "yes", "no", source="here", iteration=2)]), "rm", tmp_path / "out")
    row = rows(tmp_path / "out", tmp_path)[0]
    shared = [user("Answer in rhyme.\n\none"), assistant("two"), user("three")]
    assert row["chosen"] == [*shared, assistant("yes")]
    assert row["rejected"] == [*shared, assistant("no")]
    assert (row["source"], row["iteration"]) == ("here", 2)
    assert not {"prompt", "system", "original"} & set(row)


@pytest.mark.parametrize(
    "prompt",
    [
        [user("a"), user("b")],
        [user("a"), assistant("b")],
        [assistant("a"), user("b")],
        [SYSTEM, SYSTEM, user("a")],
        [user("a"), SYSTEM, user("b")],
        [SYSTEM],
    ],
)
def test_rm_leaves_out_what_cannot_alternate(prompt: list[dict[str, str]], tmp_path: Path) -> None:
    done = export(table([pair([user("fine")], "x", "y"), pair(prompt, "x", "y")]), "rm", tmp_path / "out")
    assert done.rows == {"train": 1}
    assert done.left_out == {"turns do not alternate from user to user": 1}


def two_a_prompt(prompts: int, lean: int = 0) -> pl.DataFrame:
    """Each prompt has a pair whose chosen is longer by 40 and one whose rejected is, `lean` prompts the former twice.

    The former has the smallest pair_id, so that a choice by it, or by the first row, takes the longer chosen.
    """
    made = []
    for n in range(prompts):
        ahead = pair([user(f"q{n}")], f"{n:04d}" + "c" * 96, f"{n:04d}" + "r" * 56)
        behind = pair([user(f"q{n}")], f"{n:04d}" + "d" * 56, f"{n:04d}" + "s" * 96)
        again = pair([user(f"q{n}")], f"{n:04d}" + "e" * 86, f"{n:04d}" + "t" * 56)
        made += sorted([ahead, again if n < lean else behind], key=lambda row: len(row["rejected"]))
    frame = table(made)
    ids = frame["pair_id"].to_list()
    pairs_of = [sorted(ids[at : at + 2]) for at in range(0, len(ids), 2)]
    return frame.with_columns(pair_id=pl.Series([one for two in pairs_of for one in two]))


def test_dpo_keeps_pairs_that_were_balanced_balanced(tmp_path: Path) -> None:
    """800 pairs over 400 prompts, half of them with the longer chosen: so are the 400 that are left."""
    said = Heard()
    frame = two_a_prompt(400)
    done = export(frame, "dpo", tmp_path / "out", Export(test_share=0), progress=said)
    facts = card_facts(done, "dpo")
    assert (done.rows, done.set_aside) == ({"train": 400}, 400)
    assert facts.pairs.lengths.longer_chosen == Share(hits=200, n=400)
    assert facts.pairs.lengths.gap == pytest.approx(0, abs=0.02)
    export(frame.sample(fraction=1, shuffle=True, seed=1), "dpo", tmp_path / "again", Export(test_share=0))
    one, two = ({row["pair_id"] for row in rows(tmp_path / name, tmp_path)} for name in ("out", "again"))
    assert one == two, "whatever the order of the rows"


def test_dpo_keeps_a_pair_of_every_prompt_and_the_most_level_one_where_no_choice_is_level(tmp_path: Path) -> None:
    """40 of 50 prompts have the longer chosen only: theirs is the pair that is ahead by 30 and not by 40."""
    done = export(two_a_prompt(50, lean=40), "dpo", tmp_path / "out", Export(test_share=0))
    assert done.rows == {"train": 50}
    ahead = [
        len(row["chosen"][0]["content"]) - len(row["rejected"][0]["content"])
        for row in rows(tmp_path / "out", tmp_path)
    ]
    assert ahead.count(-40) == 10
    assert ahead.count(30) >= 30


def test_all_pairs_of_a_prompt_are_kept_in_any_format_or_one_in_any(tmp_path: Path) -> None:
    done = export(pairs(6), "dpo", tmp_path / "all", Export(test_share=0, one_per_prompt=False))
    assert (done.rows, done.set_aside) == ({"train": 12}, 0)
    done = export(pairs(6), "rm", tmp_path / "one", Export(test_share=0, one_per_prompt=True))
    assert (done.rows, done.set_aside) == ({"train": 6}, 6)


def test_sso_rows_keep_the_three_replies_and_both_system_messages(tmp_path: Path) -> None:
    export(pairs(1, 1), "sso", tmp_path / "out")
    (row,) = rows(tmp_path / "out", tmp_path)
    expected = ("good 0 0", "bad 0 0", "plain", "be good", "be bad")
    assert tuple(row[n] for n in ("chosen", "rejected", "original", "system_good", "system_bad")) == expected
    assert row["prompt"] == [SYSTEM, user("question 0"), assistant("answer 0"), user("and then 0?")]


def test_llamafactory_parts_history_from_instruction_and_lists_its_columns(tmp_path: Path) -> None:
    prompt = [SYSTEM, user("1"), assistant("2"), user("3"), assistant("4"), user("5")]
    made = [pair(prompt, "yes", "no"), pair([user("only")], "yes", "no")]
    export(table(made), "llamafactory", tmp_path / "out", Export(test_share=0))
    info = json.loads((tmp_path / "out" / "dataset_info.json").read_text())
    entry = info["sso_pairs"]
    first, second = json.loads((tmp_path / "out" / entry["file_name"]).read_text())
    assert first["history"] == [["1", "2"], ["3", "4"]]
    assert (first["system"], first["instruction"]) == ("Answer in rhyme.", "5")
    assert (second["system"], second["instruction"], second["history"]) == ("", "only", [])
    assert entry["ranking"] is True
    assert set(entry["columns"].values()) == {"instruction", "system", "history", "chosen", "rejected"}


def test_llamafactory_loads_where_one_split_has_no_history_at_all(tmp_path: Path) -> None:
    """JSON gives an empty column no type: the head of README.md gives it."""
    frame = pairs(40)
    train = ~pl.col("prompt_id").is_in(held_out(frame["prompt_id"], 0.25, 42).implode())
    plain = frame.filter(pl.col("prompt").list.len() == 1, train)
    several = frame.filter(pl.col("prompt").list.len() >= 3, ~train)
    assert len(plain)
    assert len(several)
    export(pl.concat([plain, several]), "llamafactory", tmp_path / "out", FEW)
    assert rows(tmp_path / "out", tmp_path, "test")[0]["history"]


def test_llamafactory_holds_columns_of_any_type(tmp_path: Path) -> None:
    """What JSON has no word for is text there, and an empty column does not cost the others their types."""
    odd = {
        "bytes": (pl.Series([b"\xff"]), "ff"),
        "lists_of_bytes": (pl.Series([[b"a"]]), '["61"]'),
        "span": (pl.Series([timedelta(days=1)]), "P1D"),
        "object": (pl.Series([{"a": 1}]), '{"a":1}'),
        "big": (pl.Series([2**63], dtype=pl.UInt64), "9223372036854775808"),
        "small": (pl.Series([3], dtype=pl.Int32), 3),
        "vector": (pl.Series([[0.5]], dtype=pl.List(pl.Float32)), [0.5]),
        "nothing": (pl.Series([None]), None),
    }
    given = pairs(40).with_columns(pl.lit(series).first().alias(name) for name, (series, _) in odd.items())
    export(given, "llamafactory", tmp_path / "out", FEW)
    for split in ("train", "test"):
        row = rows(tmp_path / "out", tmp_path, split)[0]
        assert {name: row[name] for name in odd} == {name: told for name, (_, told) in odd.items()}


def test_parquet_holds_columns_of_any_type(tmp_path: Path) -> None:
    """What Arrow has no type for, or would make a dictionary of, is text; all else is what it was."""
    odd = {
        "wide": (pl.Series([2**70], dtype=pl.Int128), str(2**70)),
        "category": (pl.Series(["a"], dtype=pl.Categorical), "a"),
        "vector": (pl.Series([[0.5, 1.0]], dtype=pl.Array(pl.Float32, 2)), [0.5, 1.0]),
        "span": (pl.Series([timedelta(days=1)]), timedelta(days=1)),
        "nothing": (pl.Series([None]), None),
    }
    given = pairs(4).with_columns(pl.lit(series).first().alias(name) for name, (series, _) in odd.items())
    export(given, "pairs", tmp_path / "out")
    row = rows(tmp_path / "out", tmp_path)[0]
    assert {name: row[name] for name in odd} == {name: told for name, (_, told) in odd.items()}


def test_llamafactory_is_parquet_in_a_folder_per_split_once_a_file_is_full(tmp_path: Path) -> None:
    export(pairs(40), "llamafactory", tmp_path / "out", Export(shard_rows=20, test_share=0.25))
    info = json.loads((tmp_path / "out" / "dataset_info.json").read_text())
    folder = tmp_path / "out" / info["sso_pairs"]["file_name"]
    assert {path.suffix for path in folder.iterdir()} == {".parquet"}


def test_axolotl_holds_one_user_turn_and_leaves_out_longer_prompts(tmp_path: Path) -> None:
    done = export(pairs(5, 1), "axolotl", tmp_path / "out", Export(test_share=0))
    got = {row["input"]: row["system"] for row in rows(tmp_path / "out", tmp_path)}
    assert got == {"question 1": "", "question 2": "", "question 3": "Answer in rhyme."}
    assert done.left_out == {"more than one user turn": 2}


def test_verl_rows_are_texts_that_our_own_reader_takes_for_the_same_prompts(tmp_path: Path) -> None:
    """A single turn is its text; a system message or more turns make a transcript, open for the reply."""
    export(pairs(5, 1), "verl", tmp_path / "out", Export(test_share=0))
    got = {row["pair_id"]: row for row in rows(tmp_path / "out", tmp_path)}
    texts = [row["prompt"] for row in got.values()]
    assert texts[:2] == [
        "Answer in rhyme.\n\nHuman: question 0\n\nAssistant: answer 0\n\nHuman: and then 0?\n\nAssistant:",
        "question 1",
    ]
    assert texts[3] == "Answer in rhyme.\n\nHuman: question 3\n\nAssistant:"
    assert texts[4] == "Human: question 4\n\nAssistant: answer 4\n\nHuman: and then 4?\n\nAssistant:"
    again = read_pairs(tmp_path / "out").kept.collect()
    assert sorted(again["prompt_id"]) == sorted(pairs(5, 1)["prompt_id"])


def test_kto_makes_two_rows_of_a_pair(tmp_path: Path) -> None:
    done = export(pairs(2, 1), "kto", tmp_path / "out", Export(test_share=0))
    got = rows(tmp_path / "out", tmp_path)
    assert done.rows == {"train": 4}
    assert [(row["completion"], row["label"]) for row in got[::2]] == [
        ([assistant("good 0 0")], True),
        ([assistant("bad 0 0")], False),
    ]
    assert got[0]["pair_id"] == got[2]["pair_id"]


def test_neighbours_in_kto_reply_to_different_prompts(tmp_path: Path) -> None:
    """KTOTrainer estimates KL by the reply of the row before, as one to another prompt."""
    export(pairs(2_500, 1), "kto", tmp_path / "out", Export(test_share=0.1))
    for split in ("train", "test"):
        got = rows(tmp_path / "out", tmp_path, split)
        prompts = [row["prompt_id"] for row in got]
        assert all(one != following for one, following in pairwise(prompts))
        replies = {(row["pair_id"], row["label"]) for row in got}
        assert replies == {(row["pair_id"], label) for row in got for label in (True, False)}


def test_tpo_imitates_the_chosen_reply_and_sdft_tells_the_teacher_the_good_system_message(tmp_path: Path) -> None:
    export(pairs(2, 2), "tpo", tmp_path / "tpo", Export(test_share=0))
    *_, row = every = rows(tmp_path / "tpo", tmp_path)
    assert (len(every), row["prompt"]) == (4, [user("question 1")])
    assert row["reference"] == row["chosen"] != row["rejected"]
    unsteered = table([pair([user("q")], "a", "b")])
    done = export(pl.concat([pairs(2, 1), unsteered], how="diagonal"), "sdft", tmp_path / "sdft", Export(test_share=0))
    assert done.left_out == {"no system message steered the chosen reply": 1}
    assert {row["privileged_context"] for row in rows(tmp_path / "sdft", tmp_path)} == {"be good"}


def test_rm_keeps_system_messages_where_it_is_told_to(tmp_path: Path) -> None:
    export(pairs(4, 1), "rm", tmp_path / "out", Export(test_share=0, keep_system=True))
    heads = [row["chosen"][0] for row in rows(tmp_path / "out", tmp_path)]
    assert heads == [SYSTEM, user("question 1"), user("question 2"), SYSTEM]
