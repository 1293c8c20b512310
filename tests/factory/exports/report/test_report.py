"""The report: what it says, what it leaves out, and that data are never markup in it."""

import json
import re
from base64 import b64encode
from hashlib import sha256
from pathlib import Path
from shutil import rmtree

import polars as pl
import pytest

from factory.commands.report import report
from factory.errors import InputError
from factory.exports.pages.charts import scale
from factory.exports.report import report_html
from factory.exports.report.pairs import BLOCK, reader_pairs
from factory.exports.report.views import duration
from tests.report_page import Page, data
from tests.runs import blind, run_folder


def test_every_section_is_there_and_in_the_navigation(page: Page) -> None:
    expected = ["funnel", "agreement", "likelihood", "lengths", "training", "judges", "cost", "reader-section"]
    assert page.sections == [*expected, "verdicts", "configuration"]
    assert [attrs["href"] for tag, attrs in page.tags if tag == "a"] == ["#top", *(f"#{id_}" for id_ in page.sections)]


def test_what_form_gives_away_is_a_section_where_anything_does(tmp_path: Path) -> None:
    run = run_folder(tmp_path / "demo", prompts=20)
    path = run / "filtered/funnel.json"
    rows = [{"says": "`<think>` in 96 % of chosen and 64 % of rejected"}, {"says": None}]
    path.write_text(json.dumps({**json.loads(path.read_text()), "confounds": rows}))
    text = report_html(run)
    assert "confounds" in Page(text).sections
    assert text.count("<li>`&lt;think&gt;` in 96 % of chosen and 64 % of rejected</li>") == 1


def test_the_report_shows_the_run_s_own_numbers(run: Path) -> None:
    text = report_html(run)
    funnel = json.loads((run / "filtered/funnel.json").read_text())
    assert f"<dd>{funnel['kept']:,}<small>of {funnel['input']:,}" in text
    audit = json.loads((run / "audit/audit.json").read_text())
    assert f"<dd>{100 * audit['right'] / audit['n']:.1f} %<small>" in text
    scores = pl.read_parquet(run / "iterations/2/scores.parquet")
    assert f"{scores['logp_rejected_bad'].exp().mean():.3f}" in text


def test_the_page_may_do_nothing_but_its_own_script_and_style(page: Page) -> None:
    policy = next(a["content"] or "" for tag, a in page.tags if a.get("http-equiv") == "Content-Security-Policy")
    style = next(text for tag, text in page.raw if tag == "style")
    script = [text for tag, text in page.raw if tag == "script"][-1]
    for kind, text in (("style", style), ("script", script)):
        assert f"{kind}-src 'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'" in policy
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy
    assert "connect" not in policy
    for tag, attributes in page.tags:
        assert tag not in ("link", "img", "iframe", "object", "base", "form")
        assert not {"src", "style", "srcset", "action"} & set(attributes)
        assert not [name for name in attributes if name.startswith("on")]
        assert (attributes.get("href") or "#").startswith("#")
    assert "innerHTML" not in script
    assert "eval(" not in script
    assert "url(" not in style


def test_data_are_text_and_nothing_else(tmp_path: Path) -> None:
    run = run_folder(tmp_path / "<img src=x onerror=alert(1)>", prompts=30)
    evil = pl.lit("</script><script>window.hacked=1</script>{{ 7*7 }}")
    for name in ("kept", "rejected"):
        path = run / f"filtered/{name}.parquet"
        frame = pl.read_parquet(path)
        columns = [evil.alias(column) for column in ("feature", "source", "policy", "chosen")]
        columns += [evil.alias("reason")] if name == "rejected" else []
        frame.with_columns(columns).write_parquet(path)
    for number in (1, 2, 3):
        path = run / f"iterations/{number}/scores.parquet"
        pl.read_parquet(path).with_columns(feature=evil).write_parquet(path)
    judged = pl.read_parquet(run / "filtered/judgments.parquet")
    judged.with_columns(judge=evil).write_parquet(run / "filtered/judgments.parquet")
    text = report_html(run)
    page = Page(text)
    index, found = data(page)
    assert [tag for tag, _ in page.tags].count("script") == 2 + -(-len(found) // BLOCK)
    assert "window.hacked=1</script>" not in text
    assert "<img" not in text
    assert len(index["pairs"]) == len(found)
    assert found[0]["chosen"] == "</script><script>window.hacked=1</script>{{ 7*7 }}"


def test_no_folder_of_a_machine_is_told(tmp_path: Path) -> None:
    """Models that lie in folders are called by their names, in every section and in the reader."""
    run = run_folder(tmp_path / "demo", prompts=20)
    for name, column in (("judgments", "judge"), ("kept", "policy")):
        table = pl.read_parquet(run / f"filtered/{name}.parquet")
        table.with_columns(pl.concat_str(pl.lit("/home/me/"), column).alias(column)).write_parquet(
            run / f"filtered/{name}.parquet"
        )
    page = report_html(run)
    assert "judge-large" in page
    assert "/home/me" not in page
    assert "/home/me" not in json.dumps(reader_pairs(run, 0))


def test_names_turn_none_of_our_words_around(tmp_path: Path) -> None:
    """Whether they steer the direction, as U+202E does, or run left themselves, as Hebrew does."""
    run = run_folder(tmp_path / "r\u202eun", prompts=30)
    judged = pl.read_parquet(run / "filtered/judgments.parquet")
    judged.with_columns(judge=pl.lit("\u05d0\u05d1 \u202e1")).write_parquet(run / "filtered/judgments.parquet")
    text = report_html(run)
    assert "<h1>run</h1>" in text
    assert "<td><bdi>\u05d0\u05d1 1</bdi></td>" in text
    assert not re.search("[\u202a-\u202e\u2066-\u2069]", text.split("<script")[0])


@pytest.mark.parametrize(
    ("gone", "sections"),
    [
        (["audit"], ["funnel", "agreement", "likelihood"]),
        (["audit", "filtered/judgments.parquet"], ["funnel", "likelihood", "lengths", "training", "cost"]),
        (["filtered"], ["agreement", "likelihood", "training", "cost", "configuration"]),
        (["iterations"], ["funnel", "agreement", "lengths", "judges", "cost", "reader-section", "verdicts"]),
        (
            ["run.json"],
            ["funnel", "agreement", "likelihood", "lengths", "training", "judges", "cost", "reader-section"],
        ),
    ],
)
def test_what_is_missing_is_left_out(gone: list[str], sections: list[str], tmp_path: Path) -> None:
    run = run_folder(tmp_path / "demo", prompts=30)
    for name in gone:
        rmtree(run / name) if (run / name).is_dir() else (run / name).unlink()
    assert Page(report_html(run)).sections[: len(sections)] == sections


def test_damaged_files_are_left_out_too(tmp_path: Path) -> None:
    run = run_folder(tmp_path / "demo", prompts=20)
    for name in ("audit/audit.json", "filtered/funnel.json"):
        (run / name).write_text("{torn")
    # Python writes what overflowed as Infinity; half a letter is what a kill leaves of an ï.
    (run / "iterations/1/metrics.jsonl").write_bytes(b'[1]\n{"step": 1, "loss": Infinity, "margin": NaN}\n{torn \xc3\n')
    assert not {"funnel"} & set(Page(report_html(run)).sections)
    for odd in ({"steps": [1]}, {"input": "many", "steps": [], "kept": 0}, {"quality": {"kept": 1}}):
        (run / "filtered/funnel.json").write_text(json.dumps(odd))
        (run / "audit/audit.json").write_text(json.dumps({"n": 3, "right": "all", "strata": "x"}))
        assert "funnel" not in Page(report_html(run)).sections


def test_the_command_writes_where_asked_and_knows_a_run(run: Path, tmp_path: Path) -> None:
    assert report(run, tmp_path / "r.html") == tmp_path / "r.html"
    assert report(run) == run / "report.html"
    assert (tmp_path / "r.html").read_bytes() == (run / "report.html").read_bytes()
    with pytest.raises(InputError, match="is no run folder"):
        report(tmp_path / "nothing")


def test_dots_have_an_axis_with_ticks_at_every_quarter(run: Path) -> None:
    assert re.findall(r">(\d+ %)</text>", scale()) == ["0 %", "25 %", "50 %", "75 %", "100 %"]
    text = report_html(run)
    for section in ("agreement", "judges"):
        start = text.index(f'<section id="{section}">')
        assert text[start : text.index("</section>", start)].count("dot scale") == 1


def test_it_opens_with_kept_agreement_unsure_length_bill_and_date(run: Path, tmp_path: Path) -> None:
    text = report_html(run, title="The title of mine")
    assert "<h1>The title of mine</h1>" in text
    names = re.findall(r"<dt>(.*?)</dt>", text)
    assert names[:3] == ["Pairs kept", "auditor agrees", "auditor unsure"]
    assert {"Length", "Bill"} <= set(names)
    assert "Agreement with a judge is no accuracy" in text
    path = run / "prompts.manifest.json"
    manifest = {"version": 1, "stage": "prompts", "fingerprint": "", "inputs": {}, "facts": {}}
    path.write_text(json.dumps({**manifest, "outputs": {"prompts.parquet": [1, 1_700_000_000_000_000_000, ""]}}))
    assert "<dt>Made</dt><dd>2023-11-14<small>" in report_html(run)
    path.unlink()


def test_accuracy_by_labels_comes_before_agreement(tmp_path: Path) -> None:
    run = run_folder(tmp_path / "demo", prompts=20)
    path = run / "audit/audit.json"
    said = {"accuracy": 0.81, "low": 0.7, "high": 0.9, "method": "labels", "n": 360, "n_gold": 60, "worth": 0}
    more = {"needed": 10, "effective_judges": 1.0, "effective_from": "errors"}
    path.write_text(json.dumps({**json.loads(path.read_text()), "estimate": {**said, **more}}))
    text = report_html(run)
    assert re.findall(r"<dt>(.*?)</dt>", text)[1] == "Accuracy"
    assert "<dd>81.0 %<small>70.0\u00a0% to 90.0\u00a0% at 95\u00a0%, 360 audited pairs, by labels of people" in text
    assert "Agreement with a judge is no accuracy" not in text


def test_reasons_in_the_funnel_say_what_they_mean(run: Path) -> None:
    text = report_html(run)
    assert "<code>prefers_rejected</code> a judge voted for rejected in both orders" in text


def test_durations_as_people_say_them() -> None:
    assert [duration(seconds) for seconds in (3.21, 89, 130, 7260, 9000)] == [
        "3.2 s",
        "89.0 s",
        "2 min",
        "2 h 01 min",
        "2 h 30 min",
    ]


def test_the_report_opens_with_a_judge_that_follows_the_slot(tmp_path: Path) -> None:
    """Before the summary; its share for chosen, a coin's, is not drawn."""
    text = report_html(blind(run_folder(tmp_path / "demo", prompts=30)))
    assert text.index("judge-large follows the slot") < text.index('<p class="lead">')
    assert "judge-large agrees" in text
    sound = report_html(run_folder(tmp_path / "sound", prompts=30))
    assert "follows the slot" not in sound
    (tmp_path / "demo/audit/audit.json").unlink()
    alone = report_html(tmp_path / "demo")
    section = alone[alone.index("No audit is part") : alone.index("</section>", alone.index("No audit is part"))]
    assert "judge-small" in section
    assert "judge-large" not in section


def test_the_report_can_be_filed(run: Path) -> None:
    """Hashes of what was read and kept, and verdicts with the judge's raw answers."""
    from hashlib import sha256

    text = report_html(run)
    assert sha256((run / "filtered/kept.parquet").read_bytes()).hexdigest() in text
    assert "report written" in text
    section = text[text.index('<section id="verdicts">') :]
    assert "What judge-large answered" in section
    assert "<b>right</b>" in section
    assert "Answer, chosen first" in section
