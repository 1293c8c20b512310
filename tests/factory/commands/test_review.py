"""review: what it reads, whom it refuses, what it writes; the page itself is answered by a stand-in for the server."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from click.testing import CliRunner

import factory
from factory.cli import main
from factory.errors import ConfigError, InputError
from factory.reviewing import server
from factory.reviewing.page import state
from factory.reviewing.session import Session

Answer = Callable[[Session], str]


@pytest.fixture
def answering(monkeypatch: pytest.MonkeyPatch) -> Callable[[Answer, int], None]:
    """Has so many pairs answered by a function, in place of a person at the page."""

    def use(answer: Answer, most: int = 1000) -> None:
        def serve(session: Session, landed: Any, opened: Any, port: int = 0) -> None:
            opened("http://127.0.0.1:1/token/")
            for _ in range(most):
                if session.current is None:
                    return
                session.answer(session.done, answer(session))
                landed()

        monkeypatch.setattr(server, "serve", serve)

    return use


def better(session: Session) -> str:
    pair = state(session)["pair"]
    return "1" if len(pair["left"]["text"]) > len(pair["right"]["text"]) else "2"


def pairs(right: int = 6, wrong: int = 2) -> pl.DataFrame:
    """Pairs whose chosen reply is the longer one so many times, the shorter one so many times."""
    rows = [
        {
            "prompt": f"q{n}",
            "chosen": "long reply" if n < right else "short",
            "rejected": "short" if n < right else "long reply",
        }
        for n in range(right + wrong)
    ]
    return pl.DataFrame(rows)


def test_labels_are_what_gold_takes(answering: Any, tmp_path: Path) -> None:
    answering(better)
    found = factory.review(pairs(), tmp_path / "labels.parquet", name="ana")
    (ana,) = found.people
    assert (ana.chosen, ana.rejected, ana.tie, ana.skip) == (6, 2, 0, 0)
    labels = pl.read_parquet(tmp_path / "labels.parquet")
    assert labels["right"].sum() == 6
    ids = factory.load_pairs(pairs())["pair_id"]
    assert set(labels["pair_id"]) == set(ids)
    votes = pl.DataFrame({"pair_id": ids, "judge": "J"}).join(
        pl.DataFrame({"order": ["chosen_first", "rejected_first"], "vote": "chosen"}), how="cross"
    )
    assert factory.estimate(votes, labels.select("pair_id", "right")).n_gold == 8


def test_it_goes_on_where_it_stopped_and_everybody_gets_the_same_sample(answering: Any, tmp_path: Path) -> None:
    out = tmp_path / "labels.parquet"
    answering(better, 2)
    factory.review(pairs(), out, name="ana", sample=4)
    answering(better)
    found = factory.review(pairs(), out, name="ana", sample=4)
    assert found.people[0].chosen + found.people[0].rejected == 4
    answering(lambda session: "t")
    found = factory.review(pairs(), out, name="bo", sample=4)
    assert [each.annotator for each in found.people] == ["ana", "bo"]
    assert (found.agreement[0].n, found.agreement[0].agreement) == (4, 0.0)
    answering(better)
    found = factory.review(pairs(), out, name="ana", sample=8)
    assert found.people[0].chosen + found.people[0].rejected == 8


def test_what_filter_judges_said_is_told_afterwards(answering: Any, tmp_path: Path) -> None:
    config = {"filters": [{"use": "judge_agrees"}], "judges": [{"name": "J", "engine": "scripted"}]}
    factory.filter(pairs(40, 0), tmp_path / "filtered", config=config)
    told = []

    def look(session: Session) -> str:
        told.append(state(session)["last"])
        return "1"

    for name, blind in (("ana", False), ("bo", True)):
        answering(look)
        factory.review(
            tmp_path / "filtered/kept.parquet", tmp_path / "labels.parquet", name=name, blind=blind, sample=3
        )
    assert told[1]["verdicts"][0].startswith("J: ")
    assert told[-1] in ({"answer": "left"}, {"answer": "right"})


@pytest.mark.parametrize("name", ["", "a/b", "..", "a b", "x" * 65, ".hidden", "a\n"])
def test_a_name_that_is_no_file_name_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="a name is letters"):
        factory.review(pairs(), tmp_path / "labels.parquet", name=name)


def test_a_table_that_no_review_wrote_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "labels.parquet").write_text("mine")
    with pytest.raises(ConfigError, match="was not written by sso-factory"):
        factory.review(pairs(), tmp_path / "labels.parquet")
    assert (tmp_path / "labels.parquet").read_text() == "mine"
    with pytest.raises(ConfigError, match="is a folder"):
        factory.review(pairs(), tmp_path)


def test_a_table_replaced_meanwhile_is_left_and_no_answer_is_lost(answering: Any, tmp_path: Path) -> None:
    out = tmp_path / "labels.parquet"

    def replaced(session: Session) -> str:
        out.write_text("mine")
        return "t"

    answering(replaced)
    with pytest.raises(ConfigError, match="holds what no review put there"):
        factory.review(pairs(), out)
    assert out.read_text() == "mine"
    out.unlink()
    answering(better, 0)
    assert factory.review(pairs(), out).people[0].tie == 8


def test_a_name_whose_journal_is_another_tables_is_refused(answering: Any, tmp_path: Path) -> None:
    answering(better)
    factory.review(pairs(), tmp_path / "labels.v2.parquet", name="bo")
    with pytest.raises(ConfigError, match="is of another table there"):
        factory.review(pairs(), tmp_path / "labels.parquet", name="v2.bo")
    assert pl.read_parquet(tmp_path / "labels.v2.parquet").height == 8


def test_without_pairs_there_is_no_review(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no pairs to review"):
        factory.review(pairs().with_columns(rejected="chosen"), tmp_path / "labels.parquet")
    assert list(tmp_path.iterdir()) == []


def test_the_command_prints_who_said_what(answering: Any, tmp_path: Path) -> None:
    answering(better)
    pairs().write_parquet(tmp_path / "pairs.parquet")
    out = tmp_path / "labels.parquet"
    given = ["review", str(tmp_path / "pairs.parquet"), "--out", str(out), "--as", "ana", "--sample", "5"]
    done = CliRunner().invoke(main, given, catch_exceptions=False)
    assert done.exit_code == 0
    assert "http://127.0.0.1:1/token/" in done.stderr
    assert "ana" in done.stdout
    assert f"labels  {out}" in done.stdout
    refused = CliRunner().invoke(main, [*given[:-2], "--as", "a/b"])
    assert refused.exit_code == 2


def test_it_says_how_the_pairs_were_read_and_is_told_better(answering: Any, tmp_path: Path) -> None:
    answering(better, 0)
    table = pairs(1, 0).rename({"prompt": "ask", "chosen": "a", "rejected": "b"})
    table.write_csv(tmp_path / "pairs.csv")
    named = ["--columns", "prompt=ask,chosen=a,rejected=b"]
    ran = CliRunner().invoke(
        main, ["review", str(tmp_path / "pairs.csv"), "--out", str(tmp_path / "l.parquet"), *named]
    )
    assert ran.exit_code == 0, ran.stderr
    assert "prompt ← ask; chosen ← a; rejected ← b" in ran.stderr
