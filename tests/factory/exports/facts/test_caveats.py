"""What the end of a run says of its kept pairs: replies that were cut, and a model too small to judge the method by."""

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import factory
from factory.config import BUNDLED_MODEL
from factory.exports.facts.caveats import caveats
from factory.exports.pages.markdown import escaped
from factory.terminal import show
from tests.factory.line.test_rounds import config
from tests.pairs import pair, table, user
from tests.runs import run_folder


def kept(*finished: tuple[str | None, str | None]) -> pl.LazyFrame:
    ends = [{"finish_chosen": chosen, "finish_rejected": rejected} for chosen, rejected in finished]
    return table([pair([user("Why?")], f"Since {n}.", "No.", **end) for n, end in enumerate(ends)]).lazy()


@pytest.mark.parametrize("side", [("length", "stop"), ("stop", "length"), ("length", "length"), (None, "length")])
def test_pairs_with_a_cut_reply_are_counted_once(side: tuple[str | None, str | None]) -> None:
    said = caveats({"model": "tiny"}, {}, kept(side, ("stop", "stop"), (None, None)))
    assert [line.split(" kept pairs")[0] for line in said] == ["1 of 3"]


def test_nothing_is_said_where_nothing_is_cut_or_known() -> None:
    assert caveats({"model": "tiny"}, {}, kept(("stop", "stop"), (None, None))) == []


def test_the_bundled_model_shows_the_process() -> None:
    bundled = {"model": BUNDLED_MODEL}
    assert "135 million" in caveats(bundled, {"kind": "transformers"}, kept(("stop", "stop")))[-1]


@pytest.mark.parametrize("engine", [{"kind": "scripted"}, {"kind": "ray", "engine": {"kind": "scripted"}}])
@pytest.mark.parametrize("model", ["tiny", BUNDLED_MODEL])
def test_what_no_model_wrote_is_not_called_a_model_s(model: str, engine: dict[str, Any]) -> None:
    (said,) = caveats({"model": model}, engine, kept(("stop", "stop")))
    assert said.startswith("no model was asked")


def test_a_run_ends_with_them(tmp_path: Path) -> None:
    made = factory.run(config(tmp_path, {"limit": 6}, policy={"model": BUNDLED_MODEL}), tmp_path / "run")
    assert made.caveats
    assert show.outcome(made).endswith(made.caveats[-1])
    assert made.to_dict()["caveats"] == made.caveats


def test_report_card_and_croissant_say_what_the_end_of_the_run_says(tmp_path: Path) -> None:
    """None of the three has words of its own for it."""
    root = run_folder(tmp_path / "run", prompts=12)
    head = json.loads((root / "run.json").read_text())
    head["config"] |= {"policy": {"model": BUNDLED_MODEL}, "engine": {"kind": "transformers"}}
    (root / "run.json").write_text(json.dumps(head))
    kept_ = pl.read_parquet(root / "filtered/kept.parquet").head(7)  # of a sentence that begins with "7 of 7"
    table_ = kept_.with_columns(finish_chosen=pl.lit("length"))
    table_.write_parquet(root / "filtered/kept.parquet")
    said = [f"{line[:1].upper()}{line[1:]}." for line in caveats({"model": BUNDLED_MODEL}, {}, table_.lazy())]
    assert len(said) == 2
    factory.export(root, "rm", tmp_path / "out")
    limits = json.loads((tmp_path / "out/croissant.json").read_text())["rai:dataLimitations"]
    page, card = factory.report(root).read_text(), (tmp_path / "out/README.md").read_text()
    for line in said:
        assert f'<p class="caveat" role="note">{line}</p>' in page
        assert f"> **{escaped(line)}**" in card
        assert line in limits


def test_a_table_that_does_not_say_how_replies_ended_has_none() -> None:
    assert caveats({"model": "tiny"}, {}, pl.LazyFrame({"pair_id": ["a"]})) == []
