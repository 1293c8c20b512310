"""The table of stages is what a run does: order, what is read, what is written; and old run folders still fit it."""

import json
from pathlib import Path
from typing import Any

import pytest

import factory
from factory.commands.status import status
from factory.config import Config
from factory.errors import ConfigError
from factory.line.preflight import last_stage
from factory.line.steps import Generated, Steps
from factory.stages import LINE, STAGES, order, stage_at, stages_of
from factory.store import Stage

MADE_OF = {
    "prompts": {"prompts", "limit", "per_round", "iterations", "seed", "policy", "max_new_tokens", "principles"},
    "features": {"prompts", "principles", "policy", "engine", "seed", "iteration"},
    "contrast": {"prompts", "features", "principles", "policy", "engine", "seed", "iteration"},
    "drafts": {"prompts", "contrast", "sampling", "method", "policy", "engine", "seed", "iteration"},
    "draft_scores": {"triples", "policy", "engine", "measured"},
    "generator": {"pairs", "scored", "policy", "training", "seed"},
    "triples": {"prompts", "contrast", "sampling", "method", "policy", "engine", "seed", "iteration"},
    "scores": {"triples", "policy", "engine", "measured"},
    "train": {"pairs", "scored", "policy", "training", "seed"},
    "passed": {"scores", "triples", "filters", "judges", "seed"},
    "filter": {"scores", "triples", "filters", "judges", "seed"},
    "audit": {"kept", "judge", "sample", "seed"},
    "exports": {"kept", "audit", "config", "mix", "decontaminate", "seed", "card"},
    "push": {"export", "repository", "private"},
}
"""Names of what each stage's fingerprint is made of: another name makes every run folder that exists anew."""


def config(folder: Path, *, apart: bool = False) -> Config:
    """A run that has every stage but the push; those of a target, or those of a generator apart, which exclude them."""
    (folder / "prompts.txt").write_text("".join(f"What of the number {n}?\n" for n in range(40)))
    return Config.model_validate(
        {
            "run": {"iterations": 2},
            "prompts": {
                "paths": [str(folder / "prompts.txt")],
                **({"limit": 16} if apart else {"target_pairs": 4, "per_round": 8}),
            },
            "training": {"generator": "separate" if apart else "same"},
            "engine": "scripted",
            "filters": [{"use": "duplicate"}, {"use": "judge_agrees"}],
            "judges": ["J"],
            "audit": {"judge": {"name": "A", "engine": "scripted"}, "sample": 5},
            "export": {"formats": ["rm"]},
        }
    )


def names_of(given: Any) -> set[str]:
    """Stages among what a step is given."""
    if isinstance(given, Stage):
        found = stage_at(given.name)
        return {found.name} if found else set()
    parts = [given.triples, given.scores] if isinstance(given, Generated) else given if isinstance(given, list) else []
    return {name for part in parts for name in names_of(part)}


@pytest.mark.parametrize("apart", [False, True])
def test_a_run_makes_the_stages_of_the_table_in_its_order_and_of_what_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, apart: bool
) -> None:
    read: dict[str, set[str]] = {}
    make = Steps.make

    def noting(self: Steps, name: str, *given: Any) -> Stage:
        read.setdefault(name, set()).update(names_of(list(given)))
        return make(self, name, *given)

    monkeypatch.setattr(Steps, "make", noting)
    settings = config(tmp_path, apart=apart)
    factory.run(settings, tmp_path / "run", check=False)
    assert read == {stage.name: set(stage.reads) for stage in LINE if stage.made_if(settings)}
    there = [one.name for one in status(tmp_path / "run")]
    assert there == sorted(there, key=order)
    drafted = ("drafts", "draft_scores", "generator") if apart else ()
    named = ("features", "contrast", *drafted, "triples", "scores", "train")
    assert there[: len(named) + 1] == ["prompts", *(f"iterations/1/{name}" for name in named)]
    assert there[-3:] == ["filtered/filter", "audit/audit", "exports/rm"]
    made = [(stage, stage.path(of), of) for stage, of in stages_of(settings, (1, 2))]
    assert [path for _, path, _ in made if path in there] == [path for path in there if path in {p for _, p, _ in made}]
    for stage, path, of in made:
        if path not in there:
            assert stage.name in ("passed", "push")
            continue
        manifest = json.loads((tmp_path / f"run/{path}.manifest.json").read_text())
        assert set(manifest["inputs"]) == MADE_OF[stage.name] - ({"per_round"} if apart else set()), path
        tops = {f"{top}/" if "/" in file else top for file in manifest["outputs"] for top in [file.split("/")[0]]}
        assert tops <= set(stage.files(of)), path
        assert stage_at(path) is stage


def test_every_stage_has_a_title_of_its_own_and_comes_after_what_it_reads() -> None:
    assert MADE_OF.keys() == STAGES.keys()
    assert len({stage.title for stage in LINE}) == len(LINE)
    for place, stage in enumerate(LINE):
        assert all(LINE.index(STAGES[name]) < place for name in stage.reads), stage.name


def test_until_offers_the_stages_of_this_run(tmp_path: Path) -> None:
    settings = config(tmp_path)
    with pytest.raises(
        ConfigError, match="prompts, features, contrast, triples, scores, train, 2/train, filter, audit, exports, rm"
    ):
        last_stage("nonsense", settings)
    plain = settings.model_copy(update={"training": settings.training.model_copy(update={"method": "none"})})
    with pytest.raises(ConfigError, match="triples, scores, 2/scores, filter"):
        last_stage("train", plain)
    assert last_stage("exports", settings) == "exports/rm"
    assert last_stage("filter", settings) == "filtered/filter"
