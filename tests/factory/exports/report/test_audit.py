"""The audit in Markdown and as a picture: complete, and nothing in the data is markup."""

import re
from pathlib import Path

import polars as pl
import pytest

from factory.errors import span
from factory.exports.pages.document import SAMPLED, About, JudgedExample, Source, Vote
from factory.exports.report import audit as audit_report
from factory.schema import JUDGMENTS, conform
from factory.stages.audit import report
from factory.stages.audit_model import AuditReport

HOSTILE = "<script>alert(1)</script> | ![x](http://h/i.png) `b` $a_{\n# head"


def audited(feature: str | None = None, judge: str = "J", gold: bool = True, pairs: int = 6) -> AuditReport:
    ids = [f"{number:032x}" for number in range(pairs)]
    table = pl.DataFrame(
        {
            "pair_id": ids,
            "prompt_id": ids,
            "chosen": ["abc"] * pairs,
            "rejected": ["ab"] * pairs,
            "iteration": [1 + number % 2 for number in range(pairs)],
            "feature": [feature] * pairs,
            "gold": ["chosen"] * pairs,
        },
        schema_overrides=dict.fromkeys(("pair_id", "prompt_id", "chosen", "rejected", "feature", "gold"), pl.String)
        | {"iteration": pl.Int64},
    )
    votes = [
        {"pair_id": pair, "judge": name, "order": order, "vote": vote}
        for name in (judge, "other")
        for pair in ids
        for order, vote in (("chosen_first", "chosen"), ("rejected_first", "chosen"))
    ]
    judgments = conform(
        pl.DataFrame(votes, schema=dict.fromkeys(("pair_id", "judge", "order", "vote"), pl.String)), JUDGMENTS
    )
    return report(table.lazy(), [judgments], judge, seed=1, gold=table.select("pair_id", "gold") if gold else None)


ABOUT = About(
    [Source(name=HOSTILE, sha256="0")],
    {"usable pairs": 6, SAMPLED: 6, "judge": HOSTILE, "template": "judge, hash 1", "command": "sso-factory audit"},
)
SAID = [
    Vote(order="chosen_first", vote=None, raw=f"```\n{HOSTILE}"),
    Vote(order="rejected_first", vote="chosen", raw=None),
]
EXAMPLES = [JudgedExample(verdict="invalid", pair_id="p", prompt=HOSTILE, chosen="```", rejected="</pre>", votes=SAID)]


def markdown(report: AuditReport) -> str:
    return audit_report.markdown(report, ABOUT, [])


def write_audit(out: Path, report: AuditReport) -> None:
    audit_report.write_audit(out, report, ABOUT, EXAMPLES)


def test_every_part_of_an_audit_is_in_its_document() -> None:
    text = markdown(audited("Safety"))
    assert "**Accuracy 100.0 %: so many of all 6 pairs are labelled right, by 6 labels of people" in text
    assert "6 of 6 pairs are right, 0 unsure, 0 wrong (0 more could not be read)" in text
    assert (
        "accuracy"
        not in markdown(audited(gold=False)).lower().replace("no accuracy", "").split("## how to read this")[0]
    )
    for heading in ("Measures", "By iteration and feature", "Lengths", "Agreement", "gold labels", "How to read"):
        assert f"\n## {heading}" in text or heading in text
    assert "| 1 | Safety | 3 | 3 | 0 | 0 | 0 | 100.0 % | 43.9 % to 100.0 % |" in text
    assert "| cost | – |" in text
    alone = markdown(audited("Safety", pairs=1))
    assert "## By iteration" not in alone, "one interval of all pairs, and not two"
    assert "\n## What form gives away\n\n- the longer reply is chosen in 100 % of pairs and rejected in 0 % (" in text


@pytest.mark.usefixtures("_pictures_are_drawn_anew")
def test_names_from_data_are_shown_and_never_read_as_markup(tmp_path: Path) -> None:
    found = audited(HOSTILE, judge="<img src=x onerror=1>")
    text = markdown(found)
    assert "<script" not in text
    assert "<img" not in text
    assert "![x]" not in text
    row = next(line for line in text.splitlines() if "script" in line and line.startswith("| 1 |"))
    assert row.replace("\\|", "").count("|") == 10
    write_audit(tmp_path, found)
    assert (tmp_path / "audit.png").stat().st_size > 5000
    page = (tmp_path / "audit.html").read_text()
    assert "<img" not in page
    assert not re.search(r"<script|<[a-z][^>]*\s(?:on\w+|href)=", page)
    assert page.count("<pre>") == 5, "prompt, two replies and two answers, none of which closes its block"


def test_the_page_draws_in_its_own_colours_what_the_picture_shows(tmp_path: Path) -> None:
    """No picture on white, which glares in a dark page; a share for each group, a bar for each range of lengths."""
    found = audited("Safety")
    write_audit(tmp_path, found)
    page = (tmp_path / "audit.html").read_text()
    assert "data:image" not in page
    assert "img-src" not in page
    assert f'100.0 % <span class="soft small">of {found.n}</span>' in page
    assert page.count('<svg class="bar"') == len(found.gaps) > 0
    for row in found.gaps:
        assert span(row.low, row.high, "+,") in page
    assert not re.search(r'<svg[^>]*>[^<]*<[^>]*(fill|stroke|style)="', page), "colours come from the page's classes"


def test_the_judges_of_a_panel_are_named_as_words() -> None:
    """Not as a list that Python would print."""
    assert "| judges | J, other |" in markdown(audited())


def test_empty_and_unreadable_audits_have_a_report_too(tmp_path: Path) -> None:
    found = audited(gold=False, pairs=0)
    assert "None of 0 pairs has a verdict" in markdown(found)
    write_audit(tmp_path, found)
    assert {path.name for path in tmp_path.iterdir()} == {"audit.json", "audit.md", "audit.html", "audit.png"}


def test_many_features_are_cut_in_the_picture_and_the_table() -> None:
    found = audited("x")
    many = found.model_copy(
        update={"strata": [found.strata[0].model_copy(update={"feature": f"f{n}"}) for n in range(90)]}
    )
    assert "50 more are in audit.json" in markdown(many)


@pytest.mark.usefixtures("_pictures_are_drawn_anew")
def test_the_same_audit_is_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("factory.exports.pages.document.today", lambda: "2026-01-01")
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        write_audit(tmp_path / name, audited("Safety"))
    for file in ("audit.json", "audit.md", "audit.html", "audit.png"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()
