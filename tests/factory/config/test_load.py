"""Configurations: what is read, and the sentence for what is wrong."""

from itertools import pairwise
from pathlib import Path

import pytest

import factory
from factory.config import Config, FiltersConfig, Training
from factory.config.load import as_config, load_config, override
from factory.errors import ConfigError

ROOT = Path(__file__).parents[3]


@pytest.fixture
def written(tmp_path):
    def write(text, name="c.yaml"):
        (tmp_path / name).write_text(text, encoding="utf-8")
        return tmp_path / name

    return write


SETS = {
    "value": (["run.seed=7"], lambda c: c.run.seed, 7),
    "number with exponent": (["training.learning_rate=1e-6"], lambda c: c.training.learning_rate, 1e-6),
    "list": (["export.formats=[rm, dpo]"], lambda c: c.export.formats, ["rm", "dpo"]),
    "null": (["audit.sample=null"], lambda c: c.audit.sample, None),
    "nothing is null": (["audit.sample="], lambda c: c.audit.sample, None),
    "missing block": (["training.lora.r=4"], lambda c: c.training.lora.r, 4),
    "engine by one word": (["engine=vllm", "engine.enforce_eager=true"], lambda c: c.engine.enforce_eager, True),
    "key of the engine that none names": (
        ["engine.dtype=float32"],
        lambda c: (c.engine.kind, c.engine.dtype),
        ("transformers", "float32"),
    ),
    "short prompts": (["prompts.limit=3"], lambda c: (c.prompts.paths, c.prompts.limit), (["p.jsonl"], 3)),
    "list item": (["export.formats.0=dpo"], lambda c: c.export.formats, ["dpo"]),
    "new judge": (
        ["judges.0.name=gpt-4o", "judges.0.retries=1"],
        lambda c: [(j.name, j.retries) for j in c.judges],
        [("gpt-4o", 1)],
    ),
    "judge by one word": (
        ["judges=[a, b]", "judges.1.retries=0"],
        lambda c: [(j.name, j.retries) for j in c.judges],
        [("a", 2), ("b", 0)],
    ),
    "judge appended": (["judges=[a]", "judges.1=b"], lambda c: [j.name for j in c.judges], ["a", "b"]),
    "filter": (["filters.0.use=duplicate"], lambda c: c.filters, [{"use": "duplicate"}]),
    "equals sign in the value": (["policy.license=a=b"], lambda c: c.policy.license, "a=b"),
    "later wins": (["run.seed=1", "run.seed=2"], lambda c: c.run.seed, 2),
}


@pytest.mark.parametrize("name", SETS)
def test_an_override_sets_the_key_that_it_names(name, written):
    sets, got, wanted = SETS[name]
    assert got(load_config(written("prompts: p.jsonl"), sets)) == wanted


BAD_SETS = {
    "run.seed": "write it as key.path=value",
    "=3": "write it as key.path=value",
    "run..seed=3": "write it as key.path=value",
    "run.seed=[": "the value is not YAML",
    "run.sed=3": "the key run.sed is unknown; did you mean seed?",
    "run.seed=x": "run.seed: should be a valid integer",
    "judges.1.name=a": "judges is a list of 0; its numbers are 0",
    "judges.x=a": "the key",
    "policy.model.x=1": "the key",
    "run.dir.x=1": "run.dir",
}


@pytest.mark.parametrize("text", BAD_SETS)
def test_an_override_that_fits_no_key_is_one_sentence(text, written):
    with pytest.raises(ConfigError) as caught:
        load_config(written("prompts: p.jsonl\njudges: []\npolicy: {model: m}\nrun: {dir: d}"), [text])
    assert "\n" not in str(caught.value)
    if text not in ("judges.x=a", "policy.model.x=1", "run.dir.x=1"):
        assert BAD_SETS[text] in str(caught.value)


WRONG = {
    "typo at the top": ("engin: vllm\nprompts: x", "the key engin is unknown; did you mean engine?"),
    "typo in a block": ("prompts: x\ntraining: {bata: 1}", "the key training.bata is unknown; did you mean beta?"),
    "nothing near": (
        "prompts: x\nrun: {zzz: 1}",
        "the key run.zzz is unknown; known are dir, iterations, max_cost, report_to, seed",
    ),
    "typo in an engine": (
        "prompts: x\nengine: {kind: vllm, tensor_paralel_size: 2}",
        "engine.tensor_paralel_size is unknown; did you mean tensor_parallel_size?",
    ),
    "key of another engine": (
        "prompts: x\nengine: {kind: transformers, tensor_parallel_size: 2}",
        "the key engine.tensor_parallel_size is unknown; known are batch_tokens, device, dtype, kind",
    ),
    "typo in an inner engine": (
        "prompts: x\nengine: {kind: ray, engine: {kind: vllm, dtyp: x}}",
        "the key engine.engine.dtyp is unknown; did you mean dtype?",
    ),
    "typo in a judge": (
        "prompts: x\njudges: [a, {name: b, retrys: 1}]",
        "the key judges.1.retrys is unknown; did you mean retries?",
    ),
    "typo before what it leaves out": (
        "promts: x",
        "the key promts is unknown; did you mean prompts? (and 1 more fault)",
    ),
    "out of range": ("prompts: x\ntraining: {beta: -1}", "training.beta: should be greater than 0, and is -1"),
    "wrong type": ("prompts: x\nrun: {seed: soon}", "run.seed: should be a valid integer"),
    "no such engine": ("prompts: x\nengine: vlm", "engine.kind: there is no 'vlm'; known are 'transformers', 'vllm'"),
    "engine without kind": ("prompts: x\nengine: {dtype: auto}", "the key engine.kind is missing"),
    "no prompts": ("run: {seed: 1}", "the key prompts is missing; add it"),
    "no paths": ("prompts: {paths: []}", "prompts.paths"),
    "empty": ("", "must hold keys and values, and is empty"),
    "list": ("- a", "must hold keys and values, and is a list"),
    "text": ("hello", "must hold keys and values, and is a str"),
    "key twice": ("prompts: x\nrun: {seed: 1}\nprompts: y", "line 3: the key prompts is there twice"),
    "no YAML": ("prompts: [x", "line 1: expected"),
    "tab": ("prompts:\n\tpaths: x", "line 2"),
    "python object": ("prompts: !!python/object/apply:os.system [ls]", "could not determine a constructor"),
    "itself": ("prompts: &p [*p]", "refers to itself"),
    "bomb": (
        "a: &a [x]\n" + "".join(f"{new}: &{new} [{','.join([f'*{old}'] * 10)}]\n" for old, new in pairwise("abcdefgh")),
        "unfolds into too many values",
    ),
    "deep": ("[" * 3000, "cannot be read as YAML"),
    "number as key": ("prompts: x\n1: 2", "1: Keys should be strings"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_file_is_one_sentence_that_names_it(name, written):
    text, sentence = WRONG[name]
    file = written(text)
    with pytest.raises(ConfigError) as caught:
        load_config(file)
    assert str(caught.value).startswith(str(file))
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 2


def test_what_is_no_readable_file_is_refused_with_the_cause(tmp_path):
    (tmp_path / "latin.yaml").write_bytes(b"prompts: caf\xe9")
    for path, sentence in (
        (tmp_path / "gone.yaml", "No such file"),
        (tmp_path, "directory"),
        (tmp_path / "latin.yaml", "UTF-8"),
    ):
        with pytest.raises(ConfigError, match=sentence):
            load_config(path)


def test_the_home_is_meant_by_a_path_that_begins_with_it(written, tmp_path, monkeypatch):
    """In a file, in an override, and in keys given from Python; a name that is no path stays."""
    monkeypatch.setenv("HOME", "/home/me")
    path = written("prompts: {paths: [~/p.jsonl]}\nrun: {dir: ~/runs/x}\npolicy: {model: ~/models/m}\n")
    config = load_config(path, ["engine={kind: openai, cache_dir: ~/cache}", "prompts.license=~/L"])
    assert (config.prompts.paths, config.run.dir) == (["/home/me/p.jsonl"], "/home/me/runs/x")
    assert (config.policy.model, config.engine.cache_dir) == ("/home/me/models/m", "/home/me/cache")
    assert config.prompts.license == "~/L"
    assert as_config({"prompts": {"paths": ["~/p.jsonl"]}}, Config).prompts.paths == ["/home/me/p.jsonl"]


def test_paths_are_looked_for_beside_the_file_first(written, tmp_path, monkeypatch):
    (tmp_path / "data").mkdir()
    for name in ("p.jsonl", "mine.yaml", "bench.jsonl", "there.jsonl", "sso"):
        (tmp_path / name).write_text("x")
    text = """
prompts: {paths: [p.jsonl, data, elsewhere.jsonl, org/name, /abs.jsonl, "s3://b/p.jsonl"]}
principles: {set: mine.yaml}
engine: {kind: scripted, script: there.jsonl}
filters: [{use: decontaminate, files: [bench.jsonl]}]
judges: [{name: a, template: ./mine.yaml}]
run: {dir: data}
"""
    config = load_config(written(text))
    here = str(tmp_path)
    wanted = [f"{here}/p.jsonl", f"{here}/data", "elsewhere.jsonl", "org/name", "/abs.jsonl", "s3://b/p.jsonl"]
    assert config.prompts.paths == wanted
    assert config.principles.set == f"{here}/mine.yaml"
    assert config.engine.script == f"{here}/there.jsonl"
    assert config.filters == [{"use": "decontaminate", "files": [f"{here}/bench.jsonl"]}]
    assert Path(config.judges[0].template) == tmp_path / "mine.yaml"
    assert config.run.dir == "data"
    assert load_config(written("prompts: p.jsonl\nprinciples: {set: sso}")).principles.set == "sso"
    assert load_config(written("prompts: x"), ["prompts.paths=[p.jsonl]"]).prompts.paths == ["p.jsonl"]
    monkeypatch.chdir(tmp_path)
    assert load_config("c.yaml").prompts.paths == ["x"]
    assert Path(load_config(written("prompts: p.jsonl")).prompts.paths[0]).samefile("p.jsonl")


def test_a_filter_file_holds_filters_and_judges_alone(written):
    made = as_config(written("filters: [{use: duplicate}]\njudges: [gpt-4o]"), FiltersConfig)
    assert made.filters == [{"use": "duplicate"}]
    assert made.judges[0].name == "gpt-4o"
    with pytest.raises(ConfigError, match="the key filter is unknown; did you mean filters"):
        as_config(written("filter: []"), FiltersConfig)


def test_a_block_is_given_as_itself_as_its_keys_or_as_a_path(written):
    block = FiltersConfig(filters=[{"use": "duplicate"}])
    assert as_config(block, FiltersConfig) is block
    assert as_config({"filters": [{"use": "duplicate"}]}, FiltersConfig) == block
    assert as_config(str(written("filters: [{use: duplicate}]")), FiltersConfig) == block
    with pytest.raises(ConfigError, match="config: the key filter is unknown; did you mean filters"):
        as_config({"filter": []}, FiltersConfig)
    with pytest.raises(ConfigError, match="a int is no configuration; give its keys, a FiltersConfig or a path"):
        as_config(7, FiltersConfig)


@pytest.mark.parametrize(
    "call",
    [
        lambda bad: factory.run(bad),
        lambda bad: factory.plan(bad),
        lambda bad: factory.filter([], "out", config=bad),
        lambda bad: factory.audit([], out="out", config=bad),
        lambda bad: factory.audit([], out="out", judge=bad),
        lambda bad: factory.export([], "rm", "out", config=bad),
        lambda bad: factory.train([], "model", "out", config=bad),
        lambda bad: factory.reward_train([], "model", "out", config=bad),
        lambda bad: factory.reward_score([], "model", "out", config=bad),
    ],
)
def test_every_command_takes_the_keys_of_its_block(call):
    with pytest.raises(ConfigError, match="the key nonsense is unknown"):
        call({"nonsense": 1})


def test_a_block_from_overrides_alone():
    assert override({}, ["beta=0.5", "lora.r=2"], Training) == Training.model_validate({"beta": 0.5, "lora": {"r": 2}})
    with pytest.raises(ConfigError, match="--set bta=1: the key bta is unknown; did you mean beta"):
        override({}, ["bta=1"], Training)


@pytest.mark.parametrize(
    "path", sorted([*ROOT.glob("examples/*.yaml"), *ROOT.glob("factory/presets/*.yaml")]), ids=lambda p: p.name
)
def test_every_configuration_in_the_repository_loads(path):
    assert load_config(path).prompts.paths


def test_files_of_an_export_are_looked_for_beside_the_configuration(written, tmp_path):
    for name in ("other.parquet", "bench.txt"):
        (tmp_path / name).write_text("x")
    export = "export: {mix: [other.parquet=0.3, {path: other.parquet}, org/name=0.2], decontaminate: [bench.txt]}"
    found = load_config(written(f"prompts: p.txt\n{export}\n")).export
    assert [other.path for other in found.mix] == [str(tmp_path / "other.parquet")] * 2 + ["org/name"]
    assert found.mix[0].share == 0.3
    assert found.decontaminate == [str(tmp_path / "bench.txt")]


@pytest.mark.parametrize(
    ("sets", "blamed"),
    [
        (["sampling.temprature=1"], "--set sampling.temprature=1: the key sampling.temprature is unknown"),
        (["run.seed=3", "run.seed=x"], "--set run.seed=x: run.seed"),
        (["judges.0.nme=x"], "--set judges.0.nme=x: the key judges.0.nme is unknown"),
        (["sampling={temprature: 1}"], "--set sampling={temprature: 1}: the key sampling.temprature is unknown"),
    ],
)
def test_a_typo_in_an_override_is_blamed_on_the_override(written, sets, blamed):
    path = written("prompts: p.txt\npolicy: m\njudges: [{name: j}]\n")
    with pytest.raises(ConfigError) as caught:
        load_config(path, sets)
    assert str(caught.value).startswith(blamed)


def test_a_value_that_the_sentence_names_is_not_named_again(written):
    with pytest.raises(ConfigError, match=r"there is no base loss 'dpoo'; did you mean dpo or ipo\?$"):
        load_config(written("prompts: p.txt\ntraining: {loss: dpoo}\n"))


def test_a_typo_in_the_file_is_blamed_on_the_file_whatever_is_overridden(written):
    path = written("prompts: p.txt\nsampling: {temprature: 1}\n")
    with pytest.raises(ConfigError) as caught:
        load_config(path, ["run.seed=3"])
    assert str(caught.value).startswith(f"{path}: the key sampling.temprature is unknown")


def test_a_run_s_own_configuration_runs_again_from_inside_its_folder(tmp_path, monkeypatch):
    """Its folder is the run's, and paths are from where the run was begun, though the command is started elsewhere."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/p.txt").write_text("Why?")
    folder = tmp_path / "runs/one"
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text("run: {dir: runs/one}\nprompts: {paths: [mine/p.txt]}\npolicy: {model: m}\n")
    monkeypatch.chdir(folder)
    assert load_config("config.yaml").prompts.paths == ["mine/p.txt"], "without run.json it is any configuration"
    (folder / "run.json").write_text("{}")
    found = load_config("config.yaml")
    assert [Path(path).read_text() for path in found.prompts.paths] == ["Why?"]
    assert Path(found.run.dir).resolve() == folder
    assert found.policy.model == "m"
