"""croissant.json: files with hashes, every column, where the pairs are from, and no error of the official reader."""

import json
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from hashlib import sha256
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import polars as pl
import pytest

import factory
from factory.exports import EXPORTERS
from tests.pairs import pairs
from tests.runs import run_folder


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run_folder(tmp_path_factory.mktemp("croissant") / "demo", prompts=20)


@pytest.fixture(scope="module", params=EXPORTERS)
def exported(request: pytest.FixtureRequest, run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An export in each format."""
    out = tmp_path_factory.mktemp("out") / request.param
    factory.export(run, request.param, out, license="apache-2.0")
    return out


def described(folder: Path) -> dict:
    return json.loads((folder / "croissant.json").read_text())


def test_every_file_and_column_is_described(exported: Path) -> None:
    found = described(exported)
    files = {each["contentUrl"]: each["sha256"] for each in found["distribution"] if each["@type"] == "cr:FileObject"}
    assert len(files) == 2
    assert files == {name: sha256((exported / name).read_bytes()).hexdigest() for name in files}
    first = exported / next(iter(files))
    table = pl.read_parquet(first) if first.suffix == ".parquet" else pl.read_json(first)
    rows = next(each for each in found["recordSet"] if each["@id"] == "default")
    assert {field["name"] for field in rows["field"]} == {"split", *table.columns}
    assert all(field["description"] for field in rows["field"])


@pytest.mark.filterwarnings("ignore")  # of packages that mlcroissant brings
def test_mlcroissant_finds_no_error_and_reads_the_rows(exported: Path) -> None:
    mlc = pytest.importorskip("mlcroissant", reason="mlcroissant is not installed: pip install mlcroissant")
    read = mlc.Dataset(exported / "croissant.json")
    assert not read.metadata.ctx.issues.errors
    assert read.metadata.ctx.is_v1_1()
    rows = list(read.records("default"))
    assert {row["default/split"] for row in rows} == {b"train", b"test"}
    split = next(each for each in described(exported)["recordSet"] if each["@id"] == "default")
    assert f"{len(rows):,} in all" in split["description"]


@pytest.mark.parametrize(("format", "key"), [("pairs", "column"), ("llamafactory", "jsonPath")])
@pytest.mark.filterwarnings("ignore")  # of packages that mlcroissant brings
def test_columns_of_any_name_can_be_described(format: str, key: str, tmp_path: Path) -> None:
    """An @id knows no space, and a JSON path reads a name with a quote or a dot in it as something else."""
    odd = {
        "a b": '"a b"',
        "a-b": '"a-b"',
        "quo'te": '"quo\'te"',
        "a.b": '"a.b"',
        "größe": '"größe"',
        "plain_1": "plain_1",
    }
    told = pl.struct(pl.lit(1).alias("c d")).alias("told")
    factory.export(pairs(4).with_columns(told, **dict.fromkeys(odd, pl.lit("x"))), format, tmp_path / "out")
    rows = next(each for each in described(tmp_path / "out")["recordSet"] if each["@id"] == "default")
    fields = [part for field in rows["field"] for part in (field, *field.get("subField", ()))]
    ids = [field["@id"] for field in fields]
    assert len(set(ids)) == len(ids)
    assert not any(letter.isspace() for letter in "".join(ids))
    paths = {field["name"]: field["source"]["extract"][key] for field in rows["field"] if field["name"] in odd}
    assert paths == ({name: name for name in odd} if key == "column" else {name: f"$[*].{odd[name]}" for name in odd})
    if find_spec("mlcroissant"):
        read = import_module("mlcroissant").Dataset(tmp_path / "out/croissant.json")
        assert len(list(read.records("default"))) == 8


@pytest.mark.filterwarnings("ignore")  # of packages that mlcroissant brings
def test_columns_of_any_type_can_be_read(tmp_path: Path) -> None:
    mlc = pytest.importorskip("mlcroissant", reason="mlcroissant is not installed: pip install mlcroissant")
    odd = {
        "at": datetime(2026, 1, 2, tzinfo=UTC),
        "on": date(2026, 1, 2),
        "daily": time(1, 2),
        "price": Decimal("1.25"),
        "took": timedelta(1),
        "told": {"at": date(2026, 1, 2), "within": {"a": 1}},
        "within": {"a": {"b": 1}},
        "dates": [date(2026, 1, 2)],
        "parts": [{"names": ["a", "b"]}],
    }
    columns = {name: pl.Series([value] * 4) for name, value in odd.items()}
    factory.export(pairs(4).head(4).with_columns(**columns), "pairs", tmp_path / "out", test_share=0)
    row = next(iter(mlc.Dataset(tmp_path / "out/croissant.json").records("default")))
    assert (row["default/on"].day, row["default/daily"].minute, row["default/price"]) == (2, 2, 1.25)
    assert row["default/at"].timestamp() == odd["at"].timestamp()
    assert row["default/told"]["default/told/at"].day == row["default/dates"][0].day == 2
    assert not {"default/took", "default/within", "default/told/within"} & set(row)


def test_where_a_run_s_pairs_are_from_is_told_in_prov(run: Path, tmp_path: Path) -> None:
    factory.export(run, "rm", tmp_path / "out")
    found = described(tmp_path / "out")
    made = found["prov:wasGeneratedBy"]
    agents = [agent["prov:label"] for agent in made["prov:wasAssociatedWith"]]
    assert agents[0].startswith("sso-factory")
    assert {"policy: bundled:smollm2-135m-instruct", "judge: judge-large", "auditor: auditor"} <= set(agents)
    steps = [step["prov:label"] for step in made["prov:wasInformedBy"]]
    assert steps[0].startswith("iteration 1: 20 pairs were written, and the policy was trained")
    funnel = json.loads((run / "filtered/funnel.json").read_text())
    for step in funnel["steps"]:
        assert any(line.startswith(f"filter {step['filter']}: {step['kept']:,} kept") for line in steps)
    assert found["prov:wasDerivedFrom"][0]["@id"] == "urn:sso-factory:prompts"
    assert any("judge-large: agreement" in line for line in found["rai:dataAnnotationProtocol"])
    assert any("No person labelled pairs" in line for line in found["rai:dataLimitations"])
    assert found["rai:machineAnnotationTools"] == ["judge-large", "judge-small", "auditor"]


def test_bare_pair_files_are_said_to_be_of_unknown_making(tmp_path: Path) -> None:
    rows = [{"prompt": f"p{n}", "chosen": "good", "rejected": f"bad {n}"} for n in range(30)]
    factory.export(pl.DataFrame(rows), "rm", tmp_path / "out")
    found = described(tmp_path / "out")
    assert found["prov:wasGeneratedBy"]["prov:label"] == "export of pairs that were read from files"
    assert found["rai:dataLimitations"] == ["How the pairs came about is not known here."]
    assert "citeAs" not in found


def test_an_export_is_read_back_without_its_description(exported: Path) -> None:
    """croissant.json is no data, neither for our readers nor for the check of a format."""
    if exported.name == "sdft":
        pytest.skip("a row of sdft holds no pair")
    found = factory.look(exported, 0)
    assert found.pairs > 0
    assert not any("croissant" in str(line) for line in found.reading.lines())


def test_somebody_s_own_description_is_in_the_way(run: Path, tmp_path: Path) -> None:
    (tmp_path / "croissant.json").write_text("{}")
    with pytest.raises(factory.ConfigError, match=r"croissant\.json was not written by sso-factory"):
        factory.export(run, "rm", tmp_path)
