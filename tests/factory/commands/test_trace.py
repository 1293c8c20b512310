"""`trace`: what a run, a folder of `filter` and an export hold of one pair."""

import polars as pl
import pytest
from click.testing import CliRunner

import factory
from factory.cli import main
from factory.errors import ConfigError, InputError
from tests.runs import run_folder


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return run_folder(tmp_path_factory.mktemp("trace") / "run", prompts=20)


def row_of(run, name):
    return pl.read_parquet(run / f"filtered/{name}.parquet").filter(pl.col("iteration") == 2).row(0, named=True)


def test_a_kept_pair_is_told_from_prompt_to_votes(run):
    row = row_of(run, "kept")
    found = factory.trace(run, row["pair_id"])
    assert (found.pair_id, found.outcome) == (row["pair_id"], "kept")
    assert found.prompt["text"] == "\n".join(turn["content"] for turn in row["prompt"])
    assert (found.prompt["prompt_id"], found.prompt["iteration"]) == (row["prompt_id"], 2)
    assert row["policy"] in found.policies[0]
    assert found.principles["feature"] == row["feature"]
    votes = pl.read_parquet(run / "filtered/judgments.parquet").filter(pl.col("pair_id") == row["pair_id"])
    assert len(found.votes) == votes.height > 0
    asked = {request["reply"]: request["messages"] for request in found.requests}
    assert asked["original"] == row["prompt"]
    assert row["system_good"] in asked["chosen"][0]["content"]
    assert row["system_bad"] in asked["rejected"][0]["content"]
    replies = {reply["reply"]: reply for reply in found.replies}
    assert replies["chosen"]["text"] == row["chosen"]
    assert replies["rejected"]["characters"] == len(row["rejected"])
    gap = next(measure for measure in found.measures if measure["filter"] == "length_gap")
    assert (gap["chars_chosen"], gap["chars_rejected"]) == (len(row["chosen"]), len(row["rejected"]))


def test_the_votes_of_an_audit_are_told_as_such(run):
    row = row_of(run, "kept")
    (run / "audit").mkdir(exist_ok=True)
    votes = pl.read_parquet(run / "filtered/judgments.parquet").filter(pl.col("pair_id") == row["pair_id"])
    votes.with_columns(judge=pl.lit("auditor")).write_parquet(run / "audit/judgments.parquet")
    found = factory.trace(run, row["pair_id"]).votes
    assert {vote["judge"] for vote in found if vote.get("audit")} == {"auditor"}
    assert len(found) == 2 * votes.height


def test_a_rejected_pair_says_which_filter_and_why(run):
    row = row_of(run, "rejected")
    found = factory.trace(run, row["pair_id"])
    assert found.outcome == f"rejected by {row['filter']}: {row['reason']}"


def test_an_id_may_be_cut_short_and_the_terminal_shows_it(run):
    row = row_of(run, "kept")
    done = CliRunner().invoke(main, ["trace", str(run), row["pair_id"][:12]])
    assert done.exit_code == 0
    assert done.output.splitlines()[:2] == [row["pair_id"], "kept"]
    assert row["feature"] in done.output


def test_the_terminal_shows_words_and_no_values_of_python(run):
    """Each message of a request on a line of its own, lists with commas, and no hashes."""
    row = row_of(run, "kept")
    shown = CliRunner().invoke(main, ["trace", str(run), row["pair_id"]]).output
    assert "  reply chosen\n    system    " in shown
    assert f"\n    user      {row['prompt'][-1]['content'][:40]}" in shown
    assert not any(mark in shown for mark in ("{'", "['", "hash_1", "None"))


def test_what_is_not_known_of_a_foreign_pair_is_not_said(tmp_path):
    given = {"prompt": ["q"], "chosen": ["a"], "rejected": ["b"], "policy": ["somebody's"]}
    factory.filter(pl.DataFrame(given), tmp_path / "out", config={"filters": [{"use": "duplicate"}]})
    (pair,) = pl.read_parquet(tmp_path / "out/kept.parquet")["pair_id"]
    assert factory.trace(tmp_path / "out", pair).policies == ["somebody's wrote the replies"]


def test_an_export_tells_what_it_carries(run, tmp_path):
    factory.export(run, "rm", tmp_path / "out", test_share=0)
    row = row_of(run, "kept")
    found = factory.trace(tmp_path / "out", row["pair_id"])
    assert found.outcome == "exported"
    assert found.principles["feature"] == row["feature"]
    assert next(reply for reply in found.replies if reply["reply"] == "chosen")["text"] == row["chosen"]


def test_an_id_that_fits_none_or_several_is_told(run, tmp_path):
    with pytest.raises(InputError, match="holds no pair zzzz"):
        factory.trace(run, "zzzz")
    with pytest.raises(ConfigError, match="too short"):
        factory.trace(run, "a")
    with pytest.raises(InputError, match="holds no pairs"):
        factory.trace(tmp_path, "abcdef")
    pl.DataFrame({"pair_id": ["abcd1", "wxyz1"]}).write_parquet(tmp_path / "kept.parquet")
    others = {"pair_id": ["abcd", "wxyz2", "7"], "filter": "near", "reason": "copy"}
    pl.DataFrame(others).write_parquet(tmp_path / "rejected.parquet")
    with pytest.raises(InputError, match="fits 2 pairs"):
        factory.trace(tmp_path, "wxyz")
    for whole in ("abcd", "abcd1", "7"):
        assert factory.trace(tmp_path, whole).pair_id == whole
