"""`run --preview N`: a few prompts end to end beside the run, whose answers the run takes over."""

from pathlib import Path

import polars as pl
import pytest
from click.testing import CliRunner

import factory
from factory.cli import main
from factory.config import Config
from factory.engines.api.accounts import spent_in
from factory.errors import EngineError
from factory.store.journal import Journal
from tests.factory.engines.api.test_money import _environment, charged, config, speak  # noqa: F401 - a fixture
from tests.loopback import Loopback


def test_the_run_asks_nothing_again_that_the_preview_asked(tmp_path: Path) -> None:
    with Loopback(speak) as server:
        settings = config(tmp_path, server)
        seen = factory.run(settings, preview=4)
        assert seen.root == tmp_path / "run-preview"
        assert pl.read_parquet(seen.root / "prompts.parquet").height == 4
        previewed = {str(one.body) for one in server.asked}
        factory.run(settings)
        bodies = [str(one.body) for one in server.asked]
        assert len(set(bodies)) == len(bodies), "each was asked once"
        assert len(previewed) > 4 * 4
        used = factory.bill(tmp_path / "run").rows[0]
        assert used.requests == 10 * 4
        assert spent_in(tmp_path / "run") == charged(server)
    shown, whole = (
        set(pl.read_parquet(root / "iterations/1/triples.parquet")["pair_id"]) for root in (seen.root, tmp_path / "run")
    )
    assert shown < whole


def test_with_a_target_they_are_the_first_rounds_own(tmp_path: Path) -> None:
    with Loopback(speak) as server:
        raw = config(tmp_path, server).model_dump()
        raw["prompts"] |= {"target_pairs": 6, "per_round": 6}
        settings = Config.model_validate(raw)
        factory.run(settings, preview=3)
        factory.run(settings)
        bodies = [str(one.body) for one in server.asked]
        assert len(set(bodies)) == len(bodies)


def test_the_bound_is_that_of_the_run(tmp_path: Path) -> None:
    with Loopback(speak) as server:
        with pytest.raises(EngineError, match=r"run\.max_cost is reached"):
            factory.run(config(tmp_path, server, run={"max_cost": 4000}), preview=8)
        with pytest.raises(EngineError, match=r"run\.max_cost is reached"):
            factory.run(config(tmp_path, server, run={"max_cost": 4000}))
        assert charged(server) <= 4000


def test_the_command_shows_the_pairs(tmp_path: Path) -> None:
    with Loopback(speak) as server:
        (tmp_path / "sso.yaml").write_text(config(tmp_path, server).model_dump_json())
        done = CliRunner().invoke(main, ["run", str(tmp_path / "sso.yaml"), "--preview", "5", "--no-check"])
    assert done.exit_code == 0, done.output
    assert done.output.count("  chosen    ") == len(pl.read_parquet(tmp_path / "run-preview/filtered/kept.parquet"))
    assert done.output.count("  chosen    ") > 3
    assert "run-preview/filtered/kept.parquet" in done.output
    assert CliRunner().invoke(main, ["run", str(tmp_path / "sso.yaml"), "--preview", "0"]).exit_code == 2


def test_a_journal_takes_over_whole_records_alone(tmp_path: Path) -> None:
    with Journal(tmp_path / "a") as other:
        other.append("00", {"id": "theirs"})
        other.append("11", {"id": "theirs"})
    (tmp_path / "a").write_bytes((tmp_path / "a").read_bytes() + b'garbage\n{"key": "22", "value": {"id"')
    with Journal(tmp_path / "b") as journal:
        journal.append("00", {"id": "ours"})
        journal.adopt(tmp_path / "a")
        journal.adopt(tmp_path / "none")
        assert len(journal) == 2
        assert (journal.get("00"), journal.get("11")) == ({"id": "ours"}, {"id": "theirs"})
        journal.append("33", {"id": "new"})
        assert journal.get("33") == {"id": "new"}
