"""Memory is level: judging collects no table of all pairs that is wider than their ids."""

from functools import partial
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import factory
from factory.stages.audit_model import AuditReport
from filters.confounds import confounds

AT_ONCE, PAIRS, LONG = 20, 150, 200
ID_BYTES = 33
"""An id has 32 characters; beside them a byte says what a judge said."""


@pytest.fixture
def pairs() -> pl.DataFrame:
    texts = {side: [f"{side}{n}" + "x" * LONG for n in range(PAIRS)] for side in ("chosen", "rejected")}
    return pl.DataFrame({"prompt": [f"q{n}" for n in range(PAIRS)], **texts})


@pytest.fixture
def wide(monkeypatch: pytest.MonkeyPatch) -> list[pl.DataFrame]:
    """The tables collected so far that hold more than a few parts and are wider than ids."""
    monkeypatch.setattr("factory.stages.parts.AT_ONCE", AT_ONCE)
    for place in ("filters.funnel", "factory.stages.audit"):  # they are told from a sample, which is held
        monkeypatch.setattr(f"{place}.confounds", partial(confounds, sample=10))
    inner: Any = pl.LazyFrame.collect
    found: list[pl.DataFrame] = []

    def collect(self: pl.LazyFrame, *given: Any, **options: Any) -> Any:
        table: Any = inner(self, *given, **options)
        # Two votes on each pair of a part, and a part more.
        if table.height > 3 * AT_ONCE and table.estimated_size() > ID_BYTES * table.height:
            found.append(table)
        return table

    monkeypatch.setattr(pl.LazyFrame, "collect", collect)
    return found


JUDGES = {
    "in full": {"frugal": False},
    "frugal": {"full_share": 0.1, "kept_sample": 20},
    "frugal, and all that was kept in full": {"full_share": 0.0, "kept_sample": None},
}


@pytest.mark.parametrize("judge", JUDGES.values(), ids=JUDGES)
def test_judging_holds_no_table_of_texts_of_all_pairs(
    judge: dict[str, Any], pairs: pl.DataFrame, wide: list[pl.DataFrame], tmp_path: Path
) -> None:
    pairs.write_parquet(tmp_path / "pairs.parquet", row_group_size=AT_ONCE)
    config = {"filters": [{"use": "judge_agrees"}], "judges": [{"name": "J", "engine": "scripted", **judge}]}
    found = factory.filter(str(tmp_path / "pairs.parquet"), tmp_path / "out", config=config)
    assert found.kept > 4 * AT_ONCE
    assert [table.schema for table in wide] == []


AUDITS = {"of all": {}, "certified": {"certify": 0.8}, "against labels": {"gold": "label"}}


@pytest.mark.parametrize("more", AUDITS.values(), ids=AUDITS)
def test_an_audit_holds_no_table_of_texts_of_all_pairs(
    more: dict[str, Any], pairs: pl.DataFrame, wide: list[pl.DataFrame], tmp_path: Path
) -> None:
    labelled = pairs.with_columns(label=pl.when(pl.int_range(pl.len()) < AT_ONCE).then(pl.lit("chosen")))
    labelled.write_parquet(tmp_path / "pairs.parquet", row_group_size=AT_ONCE)
    found = factory.audit(
        str(tmp_path / "pairs.parquet"), out=tmp_path / "out", judge={"name": "J", "engine": "scripted"}, **more
    )
    assert isinstance(found, AuditReport)
    assert found.n == (PAIRS if found.certificate is None else found.certificate.drawn) > 3 * AT_ONCE
    assert [table.schema for table in wide] == []
