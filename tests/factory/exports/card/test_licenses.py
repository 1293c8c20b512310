"""A data set's licence asks no less than those of what it is made of, and is one that the Hub knows or one's own."""

import re
from pathlib import Path

import pytest

from factory.commands.export import export
from factory.config import Config
from factory.errors import ConfigError
from factory.exports.card.licenses import (
    ALIKE,
    NAMED,
    UNPAID,
    conditions,
    hub_licenses,
    require_as_strict,
    require_license,
)
from factory.line.preflight import preflight
from tests.pairs import pairs
from tests.runs import run_folder


@pytest.mark.parametrize(
    ("own", "theirs", "why"),
    [
        ("mit", "cc-by-nc-4.0", UNPAID),
        ("apache-2.0", "cc-by-sa-4.0", ALIKE),
        ("CC0-1.0", "cc-by-4.0", NAMED),
        ("cc-by-sa-4.0", "cc-by-nc-sa-4.0", UNPAID),
        ("cc-by-4.0", "GPL-3.0", ALIKE),
    ],
)
def test_a_looser_licence_is_refused_with_what_is_missing(own: str, theirs: str, why: str) -> None:
    said = f"license '{own}' is looser than '{theirs}', that of the prompts, which {why}"
    with pytest.raises(ConfigError, match=re.escape(said)):
        require_as_strict(own, {"policy": None, "prompts": theirs})


@pytest.mark.parametrize(
    ("own", "theirs"),
    [
        ("cc-by-nc-sa-4.0", "cc-by-4.0"),
        ("mit", "apache-2.0"),
        ("mit", "cc0-1.0"),
        ("mit", None),
        ("mit", "llama3.1"),
        ("my own terms", "cc-by-nc-4.0"),
        (None, "cc-by-nc-4.0"),
    ],
)
def test_one_as_strict_or_of_unknown_terms_passes(own: str | None, theirs: str | None) -> None:
    require_as_strict(own, {"prompts": theirs})


@pytest.mark.parametrize("name", hub_licenses())
def test_every_licence_of_the_hub_is_as_strict_as_itself(name: str) -> None:
    require_license(name)
    require_as_strict(name, {"prompts": name})
    assert name.startswith(("cc-", "gpl", "agpl", "lgpl")) <= (conditions(name) is not None)


@pytest.mark.parametrize("name", ["mitt", "apache2.0", "cc-by-nc4.0"])
def test_a_licence_that_is_nearly_one_is_refused_with_the_one_meant(name: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none that the Hub knows: is .* meant"):
        export(pairs(2), "rm", tmp_path / "out", license=name)
    assert not (tmp_path / "out").exists()


def test_an_export_of_a_run_and_a_run_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    run = run_folder(tmp_path / "run", prompts=6)
    with pytest.raises(ConfigError, match=r"looser than 'cc-by-4\.0', that of the prompts"):
        export(str(run), "rm", tmp_path / "out", license="cc0-1.0")
    assert not (tmp_path / "out").exists()
    export(str(run), "rm", tmp_path / "out", license="cc-by-sa-4.0")
    config = {"prompts": {"paths": ["p.txt"], "license": "cc-by-nc-4.0"}, "export": {"license": "mit"}}
    with pytest.raises(ConfigError, match="allows no commercial use"):
        preflight(Config.model_validate({**config, "engine": "scripted"}))
