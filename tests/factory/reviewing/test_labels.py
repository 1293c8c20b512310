"""Answers of people: journaled as they land, whatever is torn, several people side by side, their agreement."""

import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from factory.errors import ConfigError, StoreError
from factory.reviewing.labels import BY, LABELS, Answers, journal_of, read_answers, reviewed, write_labels
from factory.store.ownership import Record
from factory.terminal import show


def answered(path: Path, annotator: str, **given: str) -> None:
    Record.read(path.parent).claim([path.name, journal_of(path, annotator).name], BY)
    with Answers(path, annotator) as answers:
        for pair, label in given.items():
            answers.give(pair, label)


def test_the_table_holds_everybodys_last_answers(tmp_path: Path) -> None:
    path = tmp_path / "labels.parquet"
    answered(path, "ana", p1="chosen", p2="tie", p3="rejected")
    answered(path, "ana", p1="rejected")
    answered(path, "bo", p1="skip")
    table = write_labels(path)
    assert pl.read_parquet(path).equals(table)
    assert dict(table.schema) == LABELS
    assert table.select("pair_id", "right", "label", "annotator").rows() == [
        ("p2", None, "tie", "ana"),
        ("p3", False, "rejected", "ana"),
        ("p1", False, "rejected", "ana"),
        ("p1", None, "skip", "bo"),
    ]
    assert table["time"].null_count() == 0


def test_an_answer_taken_back_is_gone_from_the_table_and_kept_in_the_journal(tmp_path: Path) -> None:
    path = tmp_path / "labels.parquet"
    with Answers(path, "ana") as answers:
        answers.give("p1", "chosen")
        answers.take_back("p1")
        assert answers.given == {}
    assert write_labels(path).is_empty()
    assert len((tmp_path / "labels.ana.jsonl").read_text().splitlines()) == 2


@pytest.mark.parametrize("harm", [b'{"pair_id": "p3", "la', b"\xff\xfe", b"[]", b"null", b'{"pair_id": 1}\n{}'])
def test_a_torn_or_garbled_line_costs_itself_alone(harm: bytes, tmp_path: Path) -> None:
    path = tmp_path / "labels.parquet"
    answered(path, "ana", p1="chosen", p2="rejected")
    journal = tmp_path / "labels.ana.jsonl"
    journal.write_bytes(journal.read_bytes() + harm)
    assert list(read_answers(journal)) == ["p1", "p2"]
    answered(path, "ana", p4="tie")
    assert list(read_answers(journal)) == ["p1", "p2", "p4"]


def test_a_table_holds_neither_another_tables_answers_nor_a_file_of_the_users(tmp_path: Path) -> None:
    path, longer = tmp_path / "labels.parquet", tmp_path / "labels.v2.parquet"
    answered(path, "ana", p1="chosen")
    answered(longer, "bo", p1="rejected")
    write_labels(path).write_ndjson(tmp_path / "labels.saved.jsonl")
    answered(path, "a.dotted.name", p2="tie")
    assert write_labels(path)["annotator"].to_list() == ["a.dotted.name", "ana"]
    assert write_labels(longer)["annotator"].to_list() == ["bo"]


def edited(path: Path) -> None:
    pl.read_parquet(path).with_columns(label=pl.lit("rejected"), right=pl.lit(False)).write_parquet(path)


def noted(path: Path) -> None:
    pl.read_parquet(path).with_columns(note=pl.lit("mine")).write_parquet(path)


def rewritten(path: Path) -> None:
    path.write_text("pair_id,label\np1,tie\n")


def orphaned(path: Path) -> None:
    journal_of(path, "ana").unlink()


@pytest.mark.parametrize("change", [edited, noted, rewritten, orphaned])
def test_a_table_with_what_no_journal_ever_said_is_left_as_it_is(
    change: Callable[[Path], None], tmp_path: Path
) -> None:
    path = tmp_path / "labels.parquet"
    answered(path, "ana", p1="chosen")
    write_labels(path)
    change(path)
    before = path.read_bytes()
    answered(path, "bo", p1="tie")
    with pytest.raises(ConfigError, match="holds what no review put there"):
        write_labels(path)
    assert path.read_bytes() == before


def test_answers_taken_back_or_changed_since_the_table_was_written_are_no_change_of_somebodys(tmp_path: Path) -> None:
    path = tmp_path / "labels.parquet"
    answered(path, "ana", p1="chosen", p2="tie")
    write_labels(path)
    answered(path, "ana", p1="rejected")
    with Answers(path, "ana") as answers:
        answers.take_back("p2")
    assert write_labels(path)["label"].to_list() == ["rejected"]


def test_one_name_is_one_person_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "labels.parquet"
    with (
        Answers(path, "ana"),
        Answers(path, "bo"),
        pytest.raises(StoreError, match=r"ana is reviewing .* another name"),
    ):
        Answers(path, "ana")
    answered(path, "ana", p1="tie")


def test_where_nothing_can_be_kept_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="answers cannot be kept there"):
        Answers(tmp_path / "file/labels.parquet", "ana")


def test_kappa_between_people_leaves_skipped_pairs_out(tmp_path: Path) -> None:
    """Ten pairs, on eight of which both speak, 6 times alike; chance agrees in (5·4 + 2·2 + 1·2) of 64."""
    path = tmp_path / "labels.parquet"
    ana = ["chosen"] * 5 + ["rejected"] * 2 + ["tie", "skip", "chosen"]
    bo = ["chosen"] * 4 + ["rejected"] * 2 + ["tie", "tie", "chosen", "skip"]
    for name, labels in (("ana", ana), ("bo", bo)):
        answered(path, name, **{f"p{n}": label for n, label in enumerate(labels)})
    found = reviewed(path, write_labels(path))
    assert [(each.annotator, each.chosen, each.rejected, each.tie, each.skip) for each in found.people] == [
        ("ana", 6, 2, 1, 1),
        ("bo", 5, 2, 2, 1),
    ]
    (agreed,) = found.agreement
    assert (agreed.people, agreed.n, agreed.agreement) == (("ana", "bo"), 8, 0.75)
    by_chance = (5 * 4 + 2 * 2 + 1 * 2) / 64
    assert agreed.kappa == pytest.approx((0.75 - by_chance) / (1 - by_chance))
    assert " 75.0 % " in show.reviewed(found)


ANSWERING = """
import sys
from pathlib import Path
from factory.reviewing.labels import Answers
with Answers(Path(sys.argv[1]), "ana") as answers:
    for n in range(10**9):
        answers.give(f"p{n}", "chosen")
        print(n, flush=True)
"""


def test_a_kill_loses_no_answer_that_had_landed(tmp_path: Path) -> None:
    """SIGKILL in the midst of answering: at most the one being written is lost, and the same name goes on."""
    path = tmp_path / "labels.parquet"
    with subprocess.Popen([sys.executable, "-c", ANSWERING, str(path)], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout
        for _ in range(5):
            child.stdout.readline()
        child.kill()
        landed = 5 + sum(line.endswith("\n") for line in child.stdout)
    assert child.returncode == -signal.SIGKILL
    with Answers(path, "ana") as answers:
        assert list(answers.given)[:landed] == [f"p{n}" for n in range(landed)]
        assert len(answers.given) <= landed + 1
        answers.give("after", "tie")
    assert list(read_answers(journal_of(path, "ana")))[-1] == "after"
