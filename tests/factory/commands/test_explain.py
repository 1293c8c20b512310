"""`explain` and the reference page: every name there is, and nothing that is not."""

import pytest
from click.testing import CliRunner

from factory.cli import main
from factory.commands.explain import KINDS, explain, page, reference
from factory.config import Config
from factory.config.engines import ENGINES
from factory.config.pairs import PAIR_MAKERS
from factory.errors import ConfigError


def names(kind):
    return [entry.name for entry in reference() if entry.kind == kind]


def test_every_kind_has_entries_and_every_entry_a_meaning():
    assert {entry.kind for entry in reference()} == set(KINDS)
    assert [entry for entry in reference() if not entry.meaning.strip()] == []


def test_every_key_of_a_configuration_is_there():
    """Followed by hand through three blocks, and counted at the top."""
    keys = names("configuration key")
    assert {"run.seed", "training.lora.r", "prompts.budget.tokens", "engine.max_concurrency", "judges.retries"} <= {
        *keys
    }
    assert {key for key in keys if "." not in key and ": " not in key} == set(Config.model_fields)


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("gamma", "training.gamma"),
        ("training.gamma", "training.gamma"),
        ("judges.engine.timeout", "engine.timeout"),
        ("simpo", "training.loss"),
        ("length_gap", "length_gap"),
        ("max_mean_gap", "length_balance.max_mean_gap"),
        ("over_limit", "prompts: over_limit"),
        ("not_judged", "judge_agrees: not_judged"),
        ("p_chosen", "judgments.p_chosen"),
        ("axolotl", "axolotl"),
        ("sharegpt", "sharegpt"),
        ("130", "130"),
        ("lora.r", "training.lora.r"),
        ("batch_pairs", "reward train: batch_pairs"),
    ],
)
def test_a_name_is_found_in_full_or_by_its_last_part(asked, found):
    assert found in [entry.name for entry in explain(asked)]


@pytest.mark.parametrize(
    ("asked", "fact", "names"),
    [
        ("judges", "configuration keys", {"name", "model", "engine"}),
        ("length_gap", "filter options", {"max_chars"}),
        ("judge_agrees", "reasons", {"invalid", "prefers_rejected"}),
    ],
)
def test_a_block_names_its_keys_and_a_filter_its_options_and_reasons(asked, fact, names):
    assert names <= {*explain(asked)[0].facts[fact].split(", ")}


@pytest.mark.parametrize("maker", PAIR_MAKERS)
def test_every_pair_maker_finds_the_key_that_takes_it(maker):
    assert "pairs.from" in [entry.name for entry in explain(maker)]


@pytest.mark.parametrize("engine", sorted(ENGINES.keys() - {"served"}))
def test_every_engine_finds_the_key_that_takes_it(engine):
    (entry,) = [entry for entry in explain("engine.kind") if entry.facts["one of"] == engine]
    assert entry in explain(engine)


def test_a_name_that_several_things_bear_finds_them_all():
    assert {(entry.kind, entry.name) for entry in explain("leak")} >= {("filter", "leak"), ("reason", "triples: leak")}


@pytest.mark.parametrize(
    ("typo", "meant"), [("gama", "gamma"), ("lenght_gap", "length_gap"), ("not_juged", "not_judged")]
)
def test_a_typo_is_told_what_is_near(typo, meant):
    with pytest.raises(ConfigError, match=f"nothing is called '{typo}'; did you mean {meant}"):
        explain(typo)


def test_what_resembles_nothing_is_told_where_all_names_are():
    with pytest.raises(ConfigError, match="docs/reference"):
        explain("§§§")


def test_the_command_explains_a_name_or_all_and_refuses_what_is_none():
    done = CliRunner().invoke(main, ["explain", "gamma"])
    assert done.exit_code == 0
    assert "Weight of G" in done.output
    assert CliRunner().invoke(main, ["explain", "gama"]).exit_code == 2
    assert CliRunner().invoke(main, ["explain"]).exit_code == 2
    assert CliRunner().invoke(main, ["explain", "--all"]).output == page()
