"""`training.generator: separate`: the SSO loss makes a data generator, and the policy learns from what that writes."""

from pathlib import Path
from typing import Any

import polars as pl
import pytest

import factory
from factory.config import Training
from factory.errors import ConfigError
from factory.files.json_text import parsed
from factory.schema import LOGPS
from factory.training import SAME_WEIGHTS
from tests.heard import Heard


def config(folder: Path, **training: Any) -> dict[str, Any]:
    (folder / "prompts.txt").write_text("".join(f"Question {n}?\n" for n in range(8)))
    return {
        "prompts": str(folder / "prompts.txt"),
        "engine": "scripted",
        "run": {"iterations": 2},
        "training": {"generator": "separate", **training},
        "filters": [{"use": "duplicate"}],
        "export": {"formats": []},
    }


def record(folder: Path) -> dict[str, Any]:
    return dict(parsed((folder / "policy.json").read_text()))


def test_each_iteration_makes_a_generator_and_a_policy_of_the_policy_before(tmp_path: Path) -> None:
    done = factory.run({**config(tmp_path), "export": {"formats": ["rm"]}}, tmp_path / "run")
    base, policy = "bundled:smollm2-135m-instruct", "bundled:smollm2-135m-instruct"
    for number in (1, 2):
        folder = tmp_path / f"run/iterations/{number}"
        generator, trained = record(folder / "generator/policy"), record(folder / "policy")
        assert (generator["method"], trained["method"]) == ("sso", "pbaa")
        assert generator["parent"] == trained["parent"] == policy, "both are made of the policy before"
        assert generator["data"] != trained["data"] or generator["fingerprint"] != trained["fingerprint"]
        drafts, pairs = pl.read_parquet(folder / "drafts.parquet"), pl.read_parquet(folder / "scores.parquet")
        assert set(drafts["policy"]) == {policy}
        assert set(pairs["policy"]) == {f"{base}@generator-{number}"}
        assert set(pairs["method"]) == {"sso"}
        assert set(drafts["prompt_id"]) == set(pairs["prompt_id"])
        measured = pl.read_parquet(folder / "draft_scores.parquet").select(*LOGPS)
        assert sum(column.null_count() == 0 for column in measured) == 6, "what the SSO loss reads"
        assert sum(column.null_count() == 0 for column in pairs.select(*LOGPS)) == 2, "what the base loss reads"
        policy = f"{base}@sso-{number}"
    kept = pl.read_parquet(done.root / "filtered/kept.parquet")
    assert set(kept["policy"]) == {f"{base}@generator-1", f"{base}@generator-2"}
    card = (done.root / "exports/rm/README.md").read_text()
    assert "a data generator is made of the model by training it" in card
    told = factory.trace(done.root, kept.filter(pl.col("iteration") == 2)["pair_id"][0]).policies
    assert [line.split(" from ")[0] for line in told[1:]] == [
        "trained in iteration 1",
        "generator trained in iteration 2",
    ]
    names = [stage.name for stage in factory.status(done.root)]
    order = ["features", "contrast", "drafts", "draft_scores", "generator", "triples", "scores", "train"]
    assert [name for name in names if name.startswith("iterations/1/")] == [f"iterations/1/{name}" for name in order]


def test_a_second_run_makes_nothing_again_and_a_lost_generator_is_made_again(tmp_path: Path) -> None:
    factory.run(config(tmp_path), tmp_path / "run")
    before = (tmp_path / "run/iterations/1/scores.parquet").read_bytes()
    heard = Heard()
    factory.run(config(tmp_path), tmp_path / "run", progress=heard)
    assert not [line for line in heard.lines if "made again" in line or " in 0." in line]
    (tmp_path / "run/iterations/1/generator/policy/policy.json").unlink()
    heard = Heard()
    factory.run(config(tmp_path), tmp_path / "run", progress=heard)
    assert [line.split(":")[0] for line in heard.lines if "made again" in line] == ["iterations/1/generator"]
    assert (tmp_path / "run/iterations/1/scores.parquet").read_bytes() == before


def test_the_dry_run_counts_the_drafts(tmp_path: Path) -> None:
    once = {stage.name: stage.requests for stage in factory.plan(config(tmp_path, generator="same")).stages}
    twice = {stage.name: stage.requests for stage in factory.plan(config(tmp_path)).stages}
    for number in (1, 2):
        assert twice[f"features {number}"] == once[f"features {number}"]
        assert twice[f"replies {number}"] == 2 * once[f"replies {number}"]


def test_until_stops_after_any_of_its_stages(tmp_path: Path) -> None:
    for name in ("drafts", "2/generator"):
        factory.run(config(tmp_path), tmp_path / name.replace("/", "-"), until=name)
    assert not (tmp_path / "drafts/iterations/1/draft_scores.parquet").exists()
    assert (tmp_path / "2-generator/iterations/2/generator/policy").is_dir()
    assert not (tmp_path / "2-generator/iterations/2/triples.parquet").exists()


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"training": {"generator": "separate", "method": "pbaa"}}, "method: pbaa has none; use sso, "),
        ({"training": {"generator": "separate", "method": "none"}}, "method: none has none; use sso, "),
        ({"pairs": {"from": "label_first"}, "training": {"generator": "separate", "method": "sso_no_g"}},
         "pairs.from: label_first has none"),
        ({"prompts": {"paths": ["prompts.txt"], "target_pairs": 3}}, "prompts.target_pairs draws rounds beyond"),
        ({"engine": "openai", "run": {"iterations": 1}, "policy": {"model": "a/b"}},
         "goes on asking the untrained model"),
    ],
)  # fmt: skip
def test_what_does_not_go_with_it_is_refused(more: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        factory.run({**config(tmp_path), **more}, tmp_path / "run")
    assert said in str(caught.value)


def test_the_policy_has_the_base_loss_and_old_runs_stay_valid() -> None:
    block = Training(generator="separate", loss="dpo", beta=0.3, steering_share=0.5, lora={"r": 4})
    assert (block.of_policy.method, block.of_policy.loss, block.of_policy.beta) == ("pbaa", "dpo", 0.3)
    assert block.of_policy.lora == block.of_generator.lora == block.lora
    assert block.of_generator.method == "sso"
    same = Training()
    assert same.of_policy is same
    assert "generator" not in same.model_dump(exclude=SAME_WEIGHTS)
