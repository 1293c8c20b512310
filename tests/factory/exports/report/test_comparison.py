"""Two runs side by side: real runs of the scripted engine, and made-up folders for what those do not reach."""

import json
from pathlib import Path

import polars as pl
import pytest
from click.testing import CliRunner
from matplotlib.figure import Figure

import factory
from factory.cli import main
from factory.exports.card.plots import funnel_bars
from factory.exports.facts import FunnelFacts
from factory.exports.facts.opinions import Opinion, difference, opinions
from factory.exports.facts.run import run_facts
from factory.exports.report.comparison import compare
from tests.runs import run_folder

PROMPTS = [
    "Why is the sky blue?",
    "How do bees find home?",
    "What is a prime number?",
    "Write a toast.",
    "Boil an egg.",
]


def made(root: Path, prompts: list[str] = PROMPTS, seed: int = 7, **filters: float) -> Path:
    """A run of the scripted engine over `prompts`, filtered and judged, and nothing else."""
    paths = root.with_suffix(".jsonl")
    paths.write_text("".join(json.dumps({"prompt": text}) + "\n" for text in prompts))
    steps = [
        {"use": "duplicate"},
        {"use": "judge_agrees"},
        *({"use": name, "max_chars": n} for name, n in filters.items()),
    ]
    config = {
        "run": {"dir": str(root), "seed": seed, "iterations": 1},
        "prompts": {"paths": [str(paths)]},
        "policy": {"model": "bundled:smollm2-135m-instruct"},
        "engine": {"kind": "scripted"},
        "training": {"method": "none"},
        "filters": steps,
        "judges": [{"name": "j", "model": "judging-model"}],
        "export": {"formats": ["pairs"]},
    }
    return factory.run(config, until="filter").root


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("runs")
    return {
        "first": made(root / "first"),
        "strict": made(root / "strict", length_gap=30),
        "seed": made(root / "seed", seed=8),
        "other": made(root / "other", ["Name a colour.", "Name a fruit.", "Name a river.", "Name a town."]),
    }


def kept(root: Path) -> set[str]:
    return set(pl.read_parquet(root / "filtered/kept.parquet")["pair_id"])


def test_the_pairs_that_only_one_kept_are_those_of_the_files(runs: dict[str, Path]) -> None:
    """The same pairs, filtered otherwise: what the stricter run lacks it rejected, by the reason it gave."""
    found = factory.compare(runs["first"], runs["strict"])
    one, two = kept(runs["first"]), kept(runs["strict"])
    assert found.pairs is not None
    assert (found.pairs.both, set(found.pairs.only_first), set(found.pairs.only_second)) == (
        len(one & two),
        one - two,
        set(),
    )
    assert one - two, "the stricter run must drop something"
    assert {pair.there for pair in found.pairs.first} == {"rejected by length_gap: gap"}
    assert found.comparable
    assert next(setting.first for setting in found.settings if "length_gap" in setting.key) is None
    steps = {step.filter: step for step in found.funnel}
    assert (steps["length_gap"].first, steps["length_gap"].second.rejected) == (None, len(one - two))


def test_a_setting_that_only_one_has_is_a_dash_and_no_value_of_python(runs: dict[str, Path], tmp_path: Path) -> None:
    out = tmp_path / "page.html"
    said = CliRunner().invoke(main, ["report", str(runs["first"]), "--against", str(runs["strict"]), "--out", str(out)])
    assert "length_gap" in said.output
    section = out.read_text().split('id="against"')[1].split("</section>")[0]
    assert '<td class="hash">–</td><td class="hash">' in section
    assert "None" not in said.output + section


def test_another_seed_writes_other_pairs_to_the_same_prompts(runs: dict[str, Path]) -> None:
    found = factory.compare(runs["first"], runs["seed"])
    assert found.comparable
    assert found.pairs.both == 0
    assert {pair.there for pair in found.pairs.first} == {"not made"}
    known = [set(pl.read_parquet(runs[name] / "filtered/kept.parquet")["prompt_id"]) for name in ("first", "seed")]
    assert found.pairs.prompts_both == len(known[0] & known[1])
    assert ("seed", 7, 8) in [tuple(vars(setting).values()) for setting in found.settings]
    (pair,) = found.agreement
    assert (pair.judge, pair.of) == ("j", "kept pairs")
    assert pair.difference == pytest.approx(pair.second.share - pair.first.share)


def test_runs_on_other_prompts_are_said_not_to_be_comparable(runs: dict[str, Path]) -> None:
    found = factory.compare(runs["first"], runs["other"])
    assert not found.comparable
    assert found.notes[0].startswith("Not comparable: they have no prompt in common")
    page = Path(found.report).read_text()
    assert page.index("Not comparable") < page.index('<section id="funnel">')


def test_a_draw_of_the_same_prompts_is_comparable_and_says_what_is_shared(tmp_path: Path) -> None:
    one, two = (run_folder(tmp_path / name, prompts=20) for name in "ab")
    for root, kept_rows in ((one, slice(0, 10)), (two, slice(10, 20))):
        rows = pl.read_parquet(root / "filtered/kept.parquet").unique("prompt_id", maintain_order=True)
        rows[kept_rows].select("prompt_id").write_parquet(root / "prompts.parquet")
        manifest = {"version": 1, "stage": "prompts", "fingerprint": "", "outputs": {}, "facts": {}}
        (root / "prompts.manifest.json").write_text(json.dumps({**manifest, "inputs": {"prompts": "same"}}))
    assert compare(one, two).comparable
    assert compare(one, two).notes[0].startswith("They have no prompt in common")
    (two / "prompts.manifest.json").unlink()
    assert not compare(one, two).comparable


def test_a_difference_has_newcombe_s_interval() -> None:
    """56 of 70 and 48 of 80: 0.2, 0.0524 to 0.3339, his example, method 10."""
    from factory.statistics.shares import wilson

    def said(hits: int, n: int) -> Opinion:
        ends = wilson(hits, n)
        return Opinion(
            judge="j", measure="agreement", of="kept pairs", n=n, share=hits / n, low=ends.low, high=ends.high
        )

    found = difference(said(48, 80), said(56, 70))
    assert found == pytest.approx({"difference": 0.2, "low": 0.0524, "high": 0.3339}, abs=5e-5)
    assert difference(said(1, 2), None) == {}


def test_an_audits_agreement_has_the_wider_interval_wherever_it_is_told(tmp_path: Path) -> None:
    """Of prompts drawn whole, one point wider at either end here than Wilson's of single pairs."""
    root = run_folder(tmp_path / "run", prompts=20)
    audit = json.loads((root / "audit/audit.json").read_text())
    run = run_facts(root)
    (said,) = (one for one in opinions(run) if one.of == "audited pairs")
    wider = (audit["bootstrap_low"], audit["bootstrap_high"])
    assert audit["wilson_low"] > wider[0]
    assert (said.low, said.high) == wider


def test_accuracy_by_labels_stands_before_agreement(tmp_path: Path) -> None:
    one, two = (run_folder(tmp_path / name, prompts=20) for name in "ab")
    path = two / "audit/audit.json"
    estimate = {"accuracy": 0.8, "low": 0.7, "high": 0.9, "method": "labels", "n": 300, "n_gold": 60, "worth": 0}
    more = {"needed": 10, "effective_judges": 1.0, "effective_from": "errors"}
    path.write_text(json.dumps({**json.loads(path.read_text()), "estimate": {**estimate, **more}}))
    found = compare(one, two)
    lone = next(pair for pair in found.agreement if pair.measure == "accuracy")
    assert (lone.first, lone.second.share, lone.second.by) == (None, 0.8, "labels of people")
    assert lone.difference is None
    assert [pair.of for pair in found.agreement if pair.measure == "agreement"] == ["audited pairs", "kept pairs"]


def test_the_command_prints_both_and_writes_the_page(runs: dict[str, Path], tmp_path: Path) -> None:
    asked = ["report", str(runs["first"]), "--against", str(runs["strict"])]
    done = CliRunner().invoke(main, [*asked, "--out", str(tmp_path / "two.html"), "--title", "<b>Two</b>"])
    assert done.exit_code == 0, done.output
    assert "first: first" in done.output
    assert "rejected by length_gap: gap" in done.output
    assert done.output.rstrip().endswith(f"report  {tmp_path / 'two.html'}")
    page = (tmp_path / "two.html").read_text()
    assert "<h1>&lt;b&gt;Two&lt;/b&gt;</h1>" in page
    assert '<a href="#against">' in page
    assert "The figures above and the sections below are of first alone." in page
    found = json.loads(CliRunner().invoke(main, [*asked, "--json"]).stdout)
    assert set(found["pairs"]["only_first"]) == kept(runs["first"]) - kept(runs["strict"])
    assert found["report"] == str(runs["first"] / "report.html")


def test_python_gives_the_path_of_the_page(runs: dict[str, Path], tmp_path: Path) -> None:
    path = factory.report(runs["first"], tmp_path / "r.html", against=runs["strict"], title="Mine")
    assert path == tmp_path / "r.html"
    assert "<h1>Mine</h1>" in path.read_text()
    assert '<section id="against">' not in factory.report(runs["first"]).read_text()


def test_a_second_folder_that_is_no_run_is_one_sentence(runs: dict[str, Path], tmp_path: Path) -> None:
    done = CliRunner().invoke(main, ["report", str(runs["first"]), "--against", str(tmp_path)])
    assert done.exit_code == 2
    assert "is no run folder" in done.output


def test_a_filter_that_is_used_twice_is_two_steps(tmp_path: Path) -> None:
    """In the comparison, in what differs of the settings, and in the card's drawing: two bars for two steps."""
    one, two = (run_folder(tmp_path / name, prompts=12) for name in "ab")
    twice = {"input": 9, "kept": 3, "steps": [{"filter": "f", "kept": kept, "rejected": 3} for kept in (6, 3)]}
    for root, largest in ((one, 30), (two, 40)):
        (root / "filtered/funnel.json").write_text(json.dumps(twice))
        head = json.loads((root / "run.json").read_text())
        head["config"]["filters"] = [{"use": "f", "most": most} for most in (largest, 20)]
        (root / "run.json").write_text(json.dumps(head))
    found = compare(one, two)
    assert [(step.filter, step.first and step.first.kept) for step in found.funnel] == [("f", 6), ("f 2", 3)]
    assert ("filters.f.most", 30, 40) in [(each.key, each.first, each.second) for each in found.settings]
    axes = Figure().subplots()
    funnel_bars(axes, FunnelFacts(**twice))
    assert [(bar.get_y() + bar.get_height() / 2, bar.get_width()) for bar in axes.patches] == [(0, 9), (1, 6), (2, 3)]


def test_unfinished_runs_are_compared_as_far_as_they_are(tmp_path: Path) -> None:
    one, two = (run_folder(tmp_path / name, prompts=12) for name in "ab")
    for path in (two / "filtered").iterdir():
        path.unlink()
    found = compare(one, two)
    assert found.pairs is None
    assert found.second.kept is None
    assert "b has not been filtered" in found.notes
