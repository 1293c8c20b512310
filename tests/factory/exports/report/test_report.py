"""The report: what it says, what it leaves out, and that data are never markup in it."""

import gzip
import json
import random
import re
from base64 import b64decode, b64encode
from hashlib import sha256
from html.parser import HTMLParser
from pathlib import Path
from shutil import rmtree
from typing import Any

import polars as pl
import pytest

from factory.commands.report import report
from factory.errors import InputError
from factory.exports.pages.charts import Line, bar, dot, lines, scale, steps, ticks
from factory.exports.report import report_html
from factory.exports.report.pack import BLOCK, ROOMS, packed_pairs
from factory.exports.report.pairs import LONGEST, Room, reader_pairs
from factory.exports.report.views import duration
from tests.runs import NASTY, blind, run_folder


class Page(HTMLParser):
    """Tags with their attributes, and the text of scripts and styles."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.raw: list[tuple[str, str]] = []
        self._filled = 0
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.cdata_elem is None:
            return
        if self.raw and self._filled == len(self.tags):
            data = self.raw.pop()[1] + data
        self._filled = len(self.tags)
        self.raw.append((self.tags[-1][0], data))

    @property
    def sections(self) -> list[str]:
        return [attrs["id"] or "" for tag, attrs in self.tags if tag == "section"]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run_folder(tmp_path_factory.mktemp("run") / "demo", prompts=60)


@pytest.fixture(scope="module")
def page(run: Path) -> Page:
    return Page(report_html(run))


def unpacked(block: str) -> Any:
    """What a block of the page holds, which is base64 and nothing that could end an element."""
    assert re.fullmatch(r"[A-Za-z0-9+/]+=*", block)
    return json.loads(gzip.decompress(b64decode(block)))


def data(page: Page) -> tuple[dict, list[dict]]:
    """The index of the pairs, and the pairs."""
    index, *blocks = [unpacked(text) for tag, text in page.raw[:-1] if tag == "script"]
    return index, [pair for block in blocks for pair in block]


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


def test_numbers_are_those_of_the_run(run: Path) -> None:
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


def test_names_turn_none_of_our_words_around(tmp_path: Path) -> None:
    """Whether they steer the direction, as U+202E does, or run left themselves, as Hebrew does."""
    run = run_folder(tmp_path / "r\u202eun", prompts=30)
    judged = pl.read_parquet(run / "filtered/judgments.parquet")
    judged.with_columns(judge=pl.lit("\u05d0\u05d1 \u202e1")).write_parquet(run / "filtered/judgments.parquet")
    text = report_html(run)
    assert "<h1>run</h1>" in text
    assert "<td><bdi>\u05d0\u05d1 1</bdi></td>" in text
    assert not re.search("[\u202a-\u202e\u2066-\u2069]", text.split("<script")[0])


FEW = Room(kept=20, rejected=20)


def test_the_reader_has_kept_and_rejected_pairs_and_every_reason(run: Path) -> None:
    pairs = reader_pairs(run, 42, FEW)
    kept = [pair for pair in pairs if "filter" not in pair]
    assert (len(kept), len(pairs)) == (20, 40)
    reasons = set(pl.read_parquet(run / "filtered/rejected.parquet")["reason"])
    assert {pair["reason"] for pair in pairs if "filter" in pair} == reasons
    assert reader_pairs(run, 42, FEW) == pairs
    assert reader_pairs(run, 43, FEW) != pairs
    assert any(NASTY[:20] in pair["rejected"] for pair in reader_pairs(run, 42))
    votes = [vote for pair in pairs for vote in pair["votes"]]
    assert {vote["judge"] for vote in votes} == {"judge-large", "judge-small"}


def test_few_pairs_are_all_shown(run: Path) -> None:
    rows = sum(pl.read_parquet(run / f"filtered/{name}.parquet").height for name in ("kept", "rejected"))
    assert len(reader_pairs(run, 42)) == rows


def test_long_texts_are_cut_and_say_so(tmp_path: Path) -> None:
    run = run_folder(tmp_path / "demo", prompts=20)
    path = run / "filtered/kept.parquet"
    pl.read_parquet(path).with_columns(chosen=pl.lit("x" * (LONGEST + 5))).write_parquet(path)
    chosen = next(pair["chosen"] for pair in reader_pairs(run, 42) if "filter" not in pair)
    assert chosen == f"{'x' * LONGEST} … ({LONGEST + 5} characters)"


def many(root: Path, count: int, length: int) -> pl.DataFrame:
    """A folder with `count` kept pairs, each with a prompt and replies of its own of about `length` characters."""
    words = [first + last for first in ("al", "be", "co", "di", "en", "fo") for last in ("no", "ra", "sting", "ver")]
    draws = random.Random(count)
    rows = [
        {
            "pair_id": f"{number:032x}",
            "prompt": [{"role": "user", "content": f"Question {number}?"}],
            **{name: " ".join(draws.choices(words, k=length // 6)) for name in ("chosen", "rejected")},
            "original": f"Reply {number}.",
            "system_good": "Be good.",
            "system_bad": "Be bad.",
        }
        for number in range(count)
    ]
    (root / "filtered").mkdir(parents=True)
    frame = pl.DataFrame(rows)
    frame.write_parquet(root / "filtered/kept.parquet")
    return frame


def test_all_of_5000_kept_pairs_are_in_a_page_below_10_mb(tmp_path: Path) -> None:
    frame = many(tmp_path, 5_200, 240)
    text = report_html(tmp_path)
    index, pairs = data(Page(text))
    assert {pair["pair_id"] for pair in pairs} == set(frame["pair_id"])
    assert [pair["pair_id"] for pair in pairs] == [pair["pair_id"] for pair in index["pairs"]]
    assert len(text.encode()) < 10_000_000
    assert index["systems"] == ["Be good.", "Be bad."]
    assert {(pair["system_good"], pair["system_bad"]) for pair in pairs} == {(0, 1)}
    assert "All 5,200 kept and all 0 rejected pairs." in text


def test_what_does_not_fit_is_cut_before_a_pair_is_left_out(tmp_path: Path) -> None:
    """Of 300 pairs: whole first, then without y°, then with shorter texts, at last fewer; the page says which."""
    many(tmp_path, 300, 5_000)
    whole = packed_pairs(tmp_path, 1)
    assert whole.room == ROOMS[0]
    cut = [(budget, packed_pairs(tmp_path, 1, budget)) for budget in (int(whole.size * share) for share in (0.7, 0.3))]
    assert whole.room.longest > cut[0][1].room.longest > cut[1][1].room.longest
    for budget, packed in cut:
        assert packed.size <= budget
        assert len(packed.pairs) == 300
        assert not packed.room.original
    assert packed_pairs(tmp_path, 1, 1_000).room == ROOMS[-1]
    assert packed_pairs(tmp_path / "nothing", 1) is None


def test_rows_rejected_on_reading_are_shown_as_they_came(tmp_path: Path) -> None:
    run = run_folder(tmp_path / "demo", prompts=20)
    path = run / "filtered/rejected.parquet"
    row = pl.DataFrame({"filter": ["read"], "reason": ["no_reply"], "row": ['{"chosen": ""}']})
    pl.concat([pl.read_parquet(path), row], how="diagonal").write_parquet(path)
    found = next(pair for pair in reader_pairs(run, 42) if pair.get("reason") == "no_reply")
    assert found == {"filter": "read", "reason": "no_reply", "row": '{"chosen": ""}', "votes": []}


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
    (run / "iterations/1/metrics.jsonl").write_text("[1]\n{torn\n")
    assert not {"funnel"} & set(Page(report_html(run)).sections)


def test_the_command_writes_where_asked_and_knows_a_run(run: Path, tmp_path: Path) -> None:
    assert report(run, tmp_path / "r.html") == tmp_path / "r.html"
    assert report(run) == run / "report.html"
    assert (tmp_path / "r.html").read_bytes() == (run / "report.html").read_bytes()
    with pytest.raises(InputError, match="is no run folder"):
        report(tmp_path / "nothing")


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 100, (0, 20, 40, 60, 80, 100)),
        (0.41, 0.52, (0.4, 0.425, 0.45, 0.475, 0.5, 0.525)),
        (-0.03, 0.02, (-0.03, -0.02, -0.01, 0.0, 0.01, 0.02)),
        (5, 5, (5, 6, 7, 8, 9, 10)),
        (0, 0, (0, 0.2, 0.4, 0.6, 0.8, 1.0)),
    ],
)
def test_ticks_are_round_and_span_the_data(low: float, high: float, expected: tuple[float, ...]) -> None:
    assert ticks(low, high) == pytest.approx(expected)


def test_charts_place_points_and_escape_names() -> None:
    """The plot is 250 wide from 46 and 184 high from 12: x 1..3 and y 0..0.6 put (2, 0.3) at (171, 104)."""
    chart = lines([Line("<b>", "chosen", [(1, 0.0), (2, 0.3), (3, 0.6)])], "iteration", "p", from_zero=True)
    assert 'points="46.0,196.0 171.0,104.0 296.0,12.0"' in chart
    assert "&lt;b&gt;" in chart
    assert "<b>" not in chart
    assert lines([], "x", "y") == ""
    assert steps([("chosen", "chosen", [])], 10, "x", 0) == ""


def test_bars_and_dots_are_in_percent_and_stay_inside() -> None:
    assert 'width="25.00%"' in bar(1, 4)
    assert 'width="0.00%"' in bar(1, 0)
    assert re.search(r'cx="50.00%".*', dot(0.5, (-1, 2)))
    assert 'x1="0.00%" x2="100.00%"' in dot(0.5, (-1, 2))


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


def test_a_rare_reason_is_shown_among_many_common_ones(run: Path, tmp_path: Path) -> None:
    frame = pl.read_parquet(run / "filtered/rejected.parquet").drop("reason")
    reasons = ["common"] * (len(frame) - 1) + ["rare"]
    (tmp_path / "filtered").mkdir()
    frame.with_columns(reason=pl.Series(reasons)).write_parquet(tmp_path / "filtered/rejected.parquet")
    for seed in range(5):
        assert [pair["reason"] for pair in reader_pairs(tmp_path, seed, Room(rejected=6))].count("rare") == 1


def test_the_report_opens_with_a_judge_that_follows_the_slot(tmp_path: Path) -> None:
    """Before the summary; its share for chosen, a coin's, is not drawn."""
    text = report_html(blind(run_folder(tmp_path / "demo", prompts=30)))
    assert text.index("judge-large follows the slot") < text.index('<p class="lead">')
    assert "judge-large agrees" in text
    sound = report_html(run_folder(tmp_path / "sound", prompts=30))
    assert "follows the slot" not in sound
    (tmp_path / "demo/audit/audit.json").unlink()
    alone = report_html(tmp_path / "demo")
    section = alone[alone.index("Nobody audited") : alone.index("</section>", alone.index("Nobody audited"))]
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
