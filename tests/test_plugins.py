"""docs/plugins.md: the package that it shows, made on the fly, adds every kind of part; what is said of bad ones."""

import re
import sys
import tomllib
from pathlib import Path

import polars as pl
import pytest
import torch
from click.testing import CliRunner

import factory
from factory.cli import main
from factory.commands.explain import explain
from factory.config import Config, Training
from factory.config.pairs import PAIR_MAKERS
from factory.config.training import LOSSES
from factory.engines import ENGINES
from factory.errors import ConfigError
from factory.exports import EXPORTERS
from factory.readers.layouts import layouts
from factory.training.methods import method_of
from filters import FILTERS
from tests.packages import package

PAGE = (Path(__file__).parent.parent / "docs/plugins.md").read_text(encoding="utf-8")
FILES = dict(re.findall(r"`([\w/]+\.(?:py|toml))`:\n\n```\w+\n(.*?)```", PAGE, flags=re.DOTALL))
REGISTRIES = (FILTERS, EXPORTERS, LOSSES, PAIR_MAKERS, ENGINES)
PAIRS = pl.DataFrame(
    {
        "prompt": ["How are you?", "And now?"],
        "chosen": ["Well, thank you.", "Fine, I think."],
        "rejected": ["no", "Not so well."],
    }
)


@pytest.fixture
def acme(tmp_path, monkeypatch):
    """The package of the page, importable; the modules are forgotten afterwards."""
    files = {path: text for path, text in FILES.items() if path.endswith(".py")}
    package(tmp_path / "site", "acme-sso", {**files, "acme/__init__.py": ""}, _points())
    monkeypatch.syspath_prepend(tmp_path / "site")
    monkeypatch.delitem(sys.modules, "acme", raising=False)
    for path in files:
        monkeypatch.delitem(sys.modules, path.removesuffix(".py").replace("/", "."), raising=False)
    return tmp_path


def _points() -> dict[str, dict[str, str]]:
    points: dict[str, dict[str, str]] = tomllib.loads(FILES["pyproject.toml"])["project"]["entry-points"]
    return points


def test_the_page_adds_a_part_of_every_kind(acme):
    kinds = {registry.group: registry for registry in REGISTRIES}
    assert _points().keys() == {*kinds, "sso_factory.layouts"}
    for group, points in _points().items():
        for name in points:
            assert name in (layouts() if group == "sso_factory.layouts" else kinds[group])
            assert f"`{group}`" in PAGE


def test_a_filter_of_another_package_filters(acme):
    block = {"use": "min_words", "least": 2}
    funnel = factory.filter(PAIRS, out=acme / "filtered", config={"filters": [block]})
    assert dict(funnel.steps[-1].reasons) == {"rejected_terse": 1}
    (found,) = explain("min_words.least")
    assert found.meaning == "Fewest words of a reply."
    with pytest.raises(ConfigError, match=r"the key most is unknown; known are least"):
        factory.filter(PAIRS, out=acme / "no", config={"filters": [{"use": "min_words", "most": 1}]})
    with pytest.raises(ConfigError, match="did you mean min_words"):
        factory.filter(PAIRS, out=acme / "no", config={"filters": [{"use": "min_word"}]})


def test_a_format_and_a_layout_of_another_package_write_and_read(acme):
    factory.export(PAIRS, format="acme_texts", out=acme / "out", test_share=0)
    rows = pl.read_parquet(acme / "out" / "**" / "*.parquet")
    assert set(rows["good"]) == set(PAIRS["chosen"])
    assert set(rows["question"]) == set(PAIRS["prompt"])
    theirs = rows.select(acme_asked="question", acme_up="good", acme_down="bad")
    theirs.write_parquet(acme / "theirs.parquet")
    read = factory.load_pairs(acme / "theirs.parquet")
    assert sorted(read["chosen"]) == sorted(PAIRS["chosen"])
    assert read["prompt"].list.len().to_list() == [1, 1]
    shown = CliRunner().invoke(main, ["look", str(acme / "theirs.parquet")], catch_exceptions=False)
    assert "acme_votes" in shown.output


def test_a_loss_of_another_package_is_found_by_its_name(acme):
    loss = method_of(Training(loss="cdpo", beta=0.5)).loss
    assert loss(torch.zeros(2)).tolist() == pytest.approx([0.6931, 0.6931], abs=1e-4)
    with pytest.raises(ValueError, match="there is no base loss 'cdop'; did you mean cdpo"):
        Training(loss="cdop")


def test_a_run_on_an_engine_and_a_pair_maker_of_another_package(acme):
    (acme / "prompts.jsonl").write_text('{"prompt": "How are you?"}\n{"prompt": "And now?"}\n')
    config = {
        "prompts": {"paths": [str(acme / "prompts.jsonl")]},
        "engine": {"kind": "shout", "marks": 2},
        "pairs": {"from": "two_temperatures"},
        "training": {"method": "none"},
        "run": {"iterations": 1},
        "filters": [{"use": "min_words"}],
        "export": {"formats": ["acme_texts"], "test_share": 0},
    }
    planned = factory.plan(config, acme / "run")
    assert planned.total.requests == 4
    made = factory.run(config, acme / "run")
    kept = pl.read_parquet(made.root / "filtered/kept.parquet").sort("chosen")
    assert kept["chosen"].to_list() == [f"AND NOW? {'!' * 14}", f"HOW ARE YOU? {'!' * 14}"]
    assert kept["rejected"].str.ends_with("!" * 40).all()
    assert (made.root / "exports/acme_texts/README.md").is_file()
    again = made.root / "config.yaml"
    assert factory.load_config(again).engine.options == {"marks": 2}
    config["engine"]["spoons"] = 1
    with pytest.raises(ConfigError, match=r"engine\.spoons: shout knows marks alone"):
        factory.run(config, acme / "other")


def test_an_engine_of_another_package_can_run_a_judge(acme):
    judged = Config.model_validate({"prompts": "x", "judges": [{"name": "J", "engine": "shout"}]})
    assert judged.judges[0].engine.runner == "shout"
    with pytest.raises(ConfigError, match=r"known are .*'transformers'"):
        factory.run({"prompts": "x", "engine": "shouts"}, acme / "run")


def test_our_own_names_stay_ours(tmp_path, monkeypatch):
    points = {registry.group: dict.fromkeys(registry.own, "nowhere:Nothing") for registry in REGISTRIES}
    package(tmp_path, "taker", {}, points)
    monkeypatch.syspath_prepend(tmp_path)
    for registry in REGISTRIES:
        assert list(registry) == list(registry.own)
        for name in registry.own:
            assert registry[name] == registry.own[name]


@pytest.mark.parametrize("registry", REGISTRIES, ids=lambda one: one.kind)
def test_a_part_that_is_none_is_said_in_one_sentence(registry, tmp_path, monkeypatch):
    code = {"odd/__init__.py": "NUMBER = 3\n", "odd/broken.py": "import a_package_that_is_not_there\n"}
    points = {"number": "odd:NUMBER", "gone": "odd:GONE", "broken": "odd.broken:part"}
    package(tmp_path, "odd-parts", code, {registry.group: points})
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "odd", raising=False)
    for name, said in (
        ("number", "is odd:NUMBER, which is no "),
        ("gone", "cannot be loaded: AttributeError"),
        ("broken", "cannot be loaded: ModuleNotFoundError: No module named 'a_package_that_is_not_there'"),
    ):
        with pytest.raises(ConfigError) as caught:
            registry.load(name)
        assert str(caught.value).startswith(f"the {registry.kind} {name} of the package odd-parts")
        assert said in str(caught.value)


def test_one_name_in_two_packages_is_refused(tmp_path, monkeypatch):
    for name in ("first-one", "second-one"):
        package(tmp_path / name, name, {}, {"sso_factory.filters": {"theirs": f"{name}:F"}})
        monkeypatch.syspath_prepend(tmp_path / name)
    with pytest.raises(ConfigError, match=r"first-one and second-one|second-one and first-one"):
        factory.filter(PAIRS, out=tmp_path / "out", config={"filters": [{"use": "theirs"}]})


@pytest.mark.parametrize(
    ("raises", "why"),
    [("RuntimeError('no card\\nat all')", "RuntimeError: no card"), ("SystemExit(0)", "SystemExit: 0")],
)
def test_a_part_that_fails_at_work_is_one_sentence_with_its_place(raises, why, tmp_path, monkeypatch):
    """Whatever kind it is; an error of our own keeps its traceback."""
    code = "from filters.base import Filter\nclass Odd(Filter):\n    name = 'odd'\n    def reason(self, rows):\n"
    package(
        tmp_path / "site",
        "odd-parts",
        {"odd_parts.py": f"{code}        raise {raises}\n"},
        {"sso_factory.filters": {"odd": "odd_parts:Odd"}},
    )
    monkeypatch.syspath_prepend(tmp_path / "site")
    monkeypatch.delitem(sys.modules, "odd_parts", raising=False)
    PAIRS.write_parquet(tmp_path / "pairs.parquet")
    (tmp_path / "filters.yaml").write_text("filters: [{use: odd}]\n")
    call = ["filter", str(tmp_path / "pairs.parquet"), "--config", str(tmp_path / "filters.yaml")]
    done = CliRunner().invoke(main, [*call, "--out", str(tmp_path / "out"), "-v"])
    assert done.exit_code == 1
    place = tmp_path / "site/odd_parts.py"
    said = f"{place} line 5, of the package odd-parts, failed ({why}); mend it"
    assert f"sso-factory: {said}" in done.output
    monkeypatch.setattr("factory.filter", lambda *_, **__: 1 / 0)
    assert isinstance(CliRunner().invoke(main, [*call, "--out", str(tmp_path / "other")]).exception, ZeroDivisionError)
