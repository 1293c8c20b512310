"""The card says the numbers of the data, is valid for the Hub, and no data can speak in it."""

import re
from pathlib import Path
from typing import Any

import datasets
import polars as pl
import pytest
import yaml
from huggingface_hub import DatasetCard
from markdown_it import MarkdownIt

from factory.commands.report import report
from factory.config import METHODS, Export
from factory.errors import ConfigError
from factory.exports import EXPORTERS
from factory.exports.card import card, head, write_card
from factory.exports.card.facts import CardFacts, card_facts
from factory.exports.card.licenses import require_language
from factory.exports.destinations.write import PLOTS, export
from factory.exports.facts import Share
from factory.exports.facts.judges import kept_verdicts
from factory.exports.facts.making import MAKINGS
from factory.schema import ORDERS
from factory.stages.id_set import IdSet
from factory.stages.quality import Known, known
from tests.markdown_tables import columns_without_a_value
from tests.pairs import pair, pairs, table, user
from tests.runs import NASTY, blind, run_folder


def rendered(text: str) -> str:
    """The card as HTML, raw HTML let through as a careless viewer would."""
    body = text.split("\n---\n", 1)[1]
    return MarkdownIt("commonmark", {"html": True}).enable("table").render(body)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run_folder(tmp_path_factory.mktemp("run") / "demo", prompts=40)


def facts_of(run: Path, out: Path, name: str = "rm", **more: Any) -> CardFacts:
    written = export(pl.scan_parquet(run / "filtered/kept.parquet"), name, out)
    return card_facts(written, name, Export(**more), run_root=run)


@pytest.mark.parametrize("name", EXPORTERS)
def test_every_format_has_a_card_that_the_hub_reads_and_load_dataset_follows(
    name: str, run: Path, tmp_path: Path
) -> None:
    facts = facts_of(run, tmp_path, name, license="Apache-2.0")
    files = write_card(facts, tmp_path)
    assert {path.name for path in files} == {
        "README.md",
        "croissant.json",
        *(f"{plot}.png" for plot in PLOTS),
    }
    read = DatasetCard.load(tmp_path / "README.md")
    assert read.data.to_dict()["license"] == "apache-2.0"
    assert read.data.size_categories == ["n<1K"]
    datasets.disable_progress_bars()
    found = datasets.load_dataset(str(tmp_path), cache_dir=str(tmp_path / "cache"))
    assert {split: len(rows) for split, rows in found.items()} == facts.written.rows
    assert "How to load it" in read.text


def test_the_card_shows_the_run_s_own_numbers(run: Path, tmp_path: Path) -> None:
    facts = facts_of(run, tmp_path)
    text = card(facts)
    funnel = facts.run.funnel
    assert f"| all pairs | {funnel.input} |" in text
    for step in funnel.steps:
        assert f"| `{step.filter}` | {step.kept} | {step.rejected} |" in text
    audit = facts.run.audit
    ends = f"{100 * audit.bootstrap_low:.1f}–{100 * audit.bootstrap_high:.1f} %"
    assert audit.bootstrap_low < audit.wilson_low
    assert f"{100 * audit.right / audit.n:.1f} % (95 % interval {ends})" in text
    assert "| auditor | auditor | proprietary |" in text
    assert "| prompts | questions, tasks | cc-by-4.0 |" in text or "| prompts | tasks, questions" in text
    for feature in facts.run.principles["features"]:
        assert feature["good"]["principle"] in text
        assert feature["bad"]["principle"] in text
    assert "temperature: 0.7" in text
    assert "bad on purpose" in text
    assert "arXiv:2410.17131" in text


@pytest.mark.parametrize("method", METHODS)
def test_the_card_says_the_method_that_was_used(method: str, run: Path, tmp_path: Path) -> None:
    facts = facts_of(run, tmp_path)
    told = facts.run.config | {"training": {"method": method}}
    said = card(facts._replace(run=facts.run.model_copy(update={"config": told})))
    assert ("with Self-Steering Optimization (SSO)" in said) == method.startswith("sso")
    assert ("with no training" in said) == (method == "none")
    assert ("the model is trained" in said) == (method != "none")
    assert "a chat model is steered by contrastive principles" in said


def test_no_table_has_a_column_that_nothing_stands_in(run: Path, tmp_path: Path) -> None:
    """A run by an API without prices and log-probabilities: neither is a column of dashes."""
    facts = facts_of(run, tmp_path)
    assert columns_without_a_value(card(facts)) == []
    unmeasured = [one.model_copy(update={"likelihood": {}}) for one in facts.run.iterations]
    free = [row.model_copy(update={"cost": None}) for row in facts.run.bill.rows]
    bare = facts.run.model_copy(
        update={"iterations": unmeasured, "bill": facts.run.bill.model_copy(update={"rows": free})}
    )
    said = card(facts._replace(run=bare))
    assert columns_without_a_value(said) == []
    assert "| iteration | prompts | pairs | kept |\n" in said
    assert columns_without_a_value("| a | b |\n|---|---|\n| 1 | – |\n") == ["b"]


def test_how_often_kept_pairs_were_asked_about_and_prices_are_said(run: Path, tmp_path: Path) -> None:
    facts = facts_of(run, tmp_path)
    counted = facts.run.kept_verdicts
    votes = pl.read_parquet(run / "filtered/judgments.parquet")
    kept = pl.read_parquet(run / "filtered/kept.parquet")["pair_id"].unique()
    assert sum(counted.values()) == votes.filter(pl.col("pair_id").is_in(kept.implode()))["pair_id"].n_unique()
    assert f"and {counted.get('once', 0)} were asked about in one order alone by some judge" in card(facts)
    priced = facts.run.model_copy(update={"prices": {"policy": (0.15, 0.6)}})
    assert "| policy | 0.15 | 0.60 |" in card(facts._replace(run=priced))


def test_the_state_of_a_kept_pair_by_hand() -> None:
    """a, f: a judge was asked once; b: a verdict turned; c: asked both ways; d: unread; e: a judge against it."""
    one, two = ORDERS
    rows = [("a", "x", one, "chosen"), ("a", "y", two, "chosen"), ("b", "x", one, "chosen")]
    rows += [("b", "x", two, "rejected"), ("c", "x", one, "chosen"), ("c", "x", two, "chosen")]
    rows += [("gone", "x", one, "chosen"), ("d", "x", one, "chosen"), ("d", "x", two, None)]
    rows += [(pair, "x", order, "chosen") for pair in "ef" for order in ORDERS]
    rows += [("e", "y", one, "rejected"), ("e", "y", two, "rejected"), ("f", "y", one, "chosen")]
    votes = pl.DataFrame(rows, schema=["pair_id", "judge", "order", "vote"], orient="row").lazy()
    kept = pl.LazyFrame({"pair_id": list("abcdef")})
    states = {"once": 2, "unsure": 1, "right": 1, "unread": 1, "wrong": 1}
    assert kept_verdicts(votes, kept) == states
    assert known([votes.collect()], IdSet(pl.LazyFrame({"pair_id": ["gone"]}))) == Known(kept=6, **states)


def test_what_chose_the_features_adds_up(run: Path, tmp_path: Path) -> None:
    path = run / "filtered/kept.parquet"
    pairs = (
        pl.read_parquet(path)
        .head(20)
        .with_columns(feature_source=pl.Series(["allocated"] * 11 + ["drawn"] * 6 + ["fallback"] * 3))
    )
    done = export(pairs, "rm", tmp_path / "out")
    said = card(card_facts(done, "rm", run_root=run))
    assert "named the feature of 11 pairs; of 6 the set drew it, and of 3 chance" in said


def test_an_unread_answer_is_said_and_not_called_standing(run: Path, tmp_path: Path) -> None:
    facts = facts_of(run, tmp_path)
    told = facts.run.model_copy(update={"kept_verdicts": {"right": 5, "wrong": 3, "unread": 2}})
    said = card(facts._replace(run=told))
    assert "3 wrong by a judge that does not decide, and 0 were asked" in said
    assert "in one order alone by some judge; of 2 an answer could not be read." in said
    assert "could not be read." not in card(facts._replace(run=told.model_copy(update={"kept_verdicts": {"right": 5}})))


def test_the_language_is_said_where_it_is_given(run: Path, tmp_path: Path) -> None:
    facts = facts_of(run, tmp_path, language=["en", "de"])
    assert head(facts)["language"] == ["en", "de"]
    assert "language" not in head(facts_of(run, tmp_path))
    with pytest.raises(ConfigError, match="no ISO 639 code"):
        require_language(["English"])


def test_a_judges_agreement_is_never_called_accuracy(run: Path, tmp_path: Path) -> None:
    """In the card and in the report of a run that was audited; the accuracy by step is that of training."""
    text = card(facts_of(run, tmp_path)) + report(run, tmp_path / "report.html").read_text()
    said = re.sub(r"<(script|style)\b.*?</\1>", "", text, flags=re.DOTALL)
    found = re.findall(r"[^.|>]*\baccuracy\b[^.|<]*", said)
    assert found, "it is said what agreement is not"
    assert [line for line in found if not re.search(r"\b(no|not) accuracy|accuracy by step", line)] == []


def test_lengths_and_features_are_counted_by_hand(tmp_path: Path) -> None:
    """Chosen 4 and 2 characters, rejected 2 and 3: means 3 and 2.5; one of two unequal pairs has the longer chosen."""
    made = [pair([user("a")], "aaaa", "bb", feature="Safety"), pair([user("b")], "cc", "ddd", feature="Accuracy")]
    facts = card_facts(export(table(made), "rm", tmp_path, Export(test_share=0)), "rm")
    lengths = facts.pairs.lengths
    assert (lengths.chosen, lengths.rejected, lengths.pairs) == (3.0, 2.5, 2)
    assert lengths.longer_chosen == Share(hits=1, n=2)
    assert lengths.gap == pytest.approx(0.5 / 2.75)
    assert [(row.name, row.chosen, row.rejected) for row in facts.pairs.by_feature] == [
        ("Accuracy", 2, 3),
        ("Safety", 4, 2),
    ]
    assert "| Safety | 1 | 4 | 2 | 100.0 % |" in card(facts)


def test_what_form_gives_away_is_said_and_cannot_speak(tmp_path: Path) -> None:
    rows = [pair([user(f"q {n}")], f"<think>{n}</think> yes", f"no {n}") for n in range(40)]
    facts = card_facts(export(table(rows).lazy(), "rm", tmp_path), "rm")
    assert "\n- \\`&lt;think&gt;\\` in 100 % of chosen and 0 % of rejected (" in card(facts)


def test_a_share_has_wilson_s_interval() -> None:
    """8 of 10: centre (0.8 + 1.92073/10)/(1 + 0.384146) = 0.716740, half-width 0.226721."""
    low, high = Share(hits=8, n=10).interval
    assert (low, high) == (pytest.approx(0.490162, abs=1e-5), pytest.approx(0.943318, abs=1e-5))


def test_the_card_of_one_format_counts_what_that_format_holds(tmp_path: Path) -> None:
    facts = card_facts(export(pairs(6), "dpo", tmp_path, Export(test_share=0)), "dpo")
    assert facts.pairs.pairs == 6
    assert "One pair per prompt is kept, the one that helps the balance of lengths; 6 further pairs" in card(facts)


def test_a_bare_export_claims_nothing_it_does_not_know(tmp_path: Path) -> None:
    text = card(card_facts(export(pairs(6), "rm", tmp_path), "rm"))
    assert "how the pairs came about is not known here" in text
    for heading in ("## Principles", "## How far a judge agrees", "## From what", "## Configuration", "## Iterations"):
        assert heading not in text
    assert "Self-Steering Optimization (SSO): a chat model" not in text
    assert "synthetic" not in text


def test_of_a_run_alone_it_is_said_what_does_not_hold_of_mixed_pairs(run: Path, tmp_path: Path) -> None:
    bare = card_facts(export(pairs(6), "rm", tmp_path / "bare"), "rm", mixed={"sky.jsonl": 2})
    made = facts_of(run, tmp_path / "made")._replace(mixed={"sky.jsonl": 2})
    assert "2 pairs were mixed in from sky.jsonl.\n" in card(bare)
    assert "2 pairs were mixed in from sky.jsonl; what is said of the run does not hold" in card(made)
    assert "- synthetic" in card(made)


@pytest.mark.parametrize("maker", MAKINGS)
def test_a_card_says_how_these_pairs_were_made(maker: str, run: Path, tmp_path: Path) -> None:
    """And nothing of the other ways to make pairs."""
    facts = facts_of(run, tmp_path)
    assert facts.run is not None
    said = card(facts._replace(run=facts.run.model_copy(update={"maker": maker})))
    for name, making in MAKINGS.items():
        for words in (making.made, f"**{making.rejected}**", making.why, making.contrast):
            assert (words in said) == (name == maker), words
    assert ("two models, with their gaps" in said) == MAKINGS[maker].two_voices


def test_nothing_private_is_told(run: Path, tmp_path: Path) -> None:
    text = card(facts_of(run, tmp_path))
    for secret in ("/home/someone", "secret.internal", "base_url:", "prompts.parquet"):
        assert secret not in text
    assert "bench.jsonl" in text


@pytest.mark.usefixtures("_pictures_are_drawn_anew")
def test_the_same_data_give_the_same_bytes(run: Path, tmp_path: Path) -> None:
    for folder in ("a", "b"):
        write_card(facts_of(run, tmp_path / folder), tmp_path / folder)
    a, b = ({p.name: p.read_bytes() for p in (tmp_path / f).rglob("*.*")} for f in "ab")
    assert a == b
    assert len(a) == 9


def test_data_cannot_speak_in_the_card(tmp_path: Path) -> None:
    """Names and texts from data show as letters: no HTML, image, heading, table cell, link or template."""
    links = "[a](javascript:alert(1)) https://evil.example www.evil.example"
    evil = f"{NASTY} | # x\n\n# Heading\n```\n~~~ {{{{ 7 * 7 }}}} {links}"
    columns = {"feature": evil, "source": evil, "policy": evil, "method": evil, "mine`|": evil, "<b>": "x"}
    frame = pairs(8, **columns).with_columns(chosen=pl.col("chosen") + evil)
    facts = card_facts(export(frame, "rm", tmp_path), "rm", Export(push_to_hub=f"u/{evil}", license=evil))
    assert facts.pairs.by_feature[0].name == evil
    html = rendered(card(facts._replace(plots={"lengths": "plots/lengths.png"})))
    assert "<script" not in html
    assert "<b>" not in html
    assert html.count("<img") == 1
    assert 'src="plots/lengths.png"' in html
    assert 'href="' not in html
    assert "<h1>Heading" not in html
    assert "49" not in html.replace("249", "")
    assert yaml.safe_load(card(facts).split("---\n")[1])["pretty_name"] == facts.title


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("MIT", {"license": "mit"}),
        ("cc-by-4.0", {"license": "cc-by-4.0"}),
        ("Our Own Terms", {"license": "other", "license_name": "our-own-terms"}),
        ("Terms, of (2026)!", {"license": "other", "license_name": "terms-of-2026"}),
        ("独自 の 規約", {"license": "other", "license_name": "own-terms"}),
        (None, {}),
    ],
)
def test_licences_are_written_as_the_hub_spells_them(
    given: str | None, expected: dict[str, str], tmp_path: Path
) -> None:
    facts = card_facts(export(pairs(2), "rm", tmp_path), "rm", Export(license=given))
    assert {key: value for key, value in head(facts).items() if "license" in key} == expected


def test_a_readme_that_somebody_wrote_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("mine")
    made = write_card(card_facts(export(pairs(2), "rm", tmp_path), "rm"), tmp_path)
    assert [path.name for path in made] == ["croissant.json", "lengths.png"]
    assert (tmp_path / "README.md").read_text() == "mine"


def test_the_card_opens_with_a_judge_that_follows_the_slot_and_the_kept_pairs(tmp_path: Path) -> None:
    run = blind(run_folder(tmp_path / "demo", prompts=40))
    text = card(facts_of(run, tmp_path / "out"))
    at = [text.index(words) for words in ("judge-large follows the slot", "pairs kept", "bad on purpose", "## ")]
    assert at == sorted(at)
    assert "its votes decide nothing" in text
    assert "judge-large agrees with 82.8 % of them" in text
    row = next(line for line in text.splitlines() if line.startswith("| judge-large |"))
    assert row.split("|")[4].strip() == "–", "the share for chosen would be a coin's"
    assert "follows the slot" not in card(facts_of(run_folder(tmp_path / "sound", prompts=40), tmp_path / "more"))
