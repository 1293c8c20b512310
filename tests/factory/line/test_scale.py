"""docs/scale.md: its examples can be run, and its formulas give what a run really asks."""

import json
from math import ceil
from pathlib import Path
from statistics import mean
from typing import Any, NamedTuple

import polars as pl
import pytest
import yaml

import factory
import principles
from factory.config import Config, Training
from factory.line.preflight import preflight
from factory.schema import REPLIES
from factory.stages.features import AllocationRequest
from principles import template

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "scale.md").read_text(encoding="utf-8")
EXAMPLES = sorted((ROOT / "examples").glob("scale-*.yaml"))
PROMPTS, SAMPLES = 40, 2


class Row(NamedTuple):
    """A stage's formulas, and the numbers beside them."""

    calls: str
    prompt: str
    completion: str
    here: tuple[float, ...]

    def work_out(self, letters: dict[str, float]) -> tuple[float, ...]:
        return tuple(
            eval(formula.replace("·", "*"), {"__builtins__": {}}, letters)
            for formula in (self.calls, self.prompt, self.completion)
        )


def cells(width: int) -> list[list[str]]:
    lines = [line for line in PAGE.splitlines() if line.startswith("| ")]
    rows = [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in lines]
    return [row for row in rows if len(row) == width]


STAGES = {
    row[0].split(",")[0]: Row(*row[1:4], tuple(float(n.replace(",", "")) for n in row[4].split(", ")))
    for row in cells(5)
    if row[0] != "stage"
}
LETTERS = {row[0]: float(row[2]) for row in cells(3) if len(row[0]) == 1}


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_every_example_can_be_run(path: Path) -> None:
    preflight(factory.load_config(path))
    planned = factory.plan(factory.load_config(path))
    assert [stage.name for stage in planned.stages if stage.name != "check"][:2] == ["features 1", "replies 1"]


def test_there_are_three_examples() -> None:
    assert [path.stem for path in EXAMPLES] == ["scale-8gpu", "scale-api", "scale-cluster"]
    assert all(path.name in PAGE for path in EXAMPLES)


def test_the_block_that_serves_each_policy_is_read() -> None:
    (block,) = [part for part in PAGE.split("```") if part.startswith("yaml\nengine:") and "serve:" in part]
    settings = yaml.safe_load(block.removeprefix("yaml"))
    config = factory.load_config(ROOT / "examples" / "quickstart.yaml", [f"engine={json.dumps(settings['engine'])}"])
    preflight(config)
    assert config.engine.runner == "served"


def test_accelerate_reads_its_example() -> None:
    accelerate = pytest.importorskip("accelerate.commands.config.config_args")
    read = accelerate.load_config_from_file(str(ROOT / "examples" / "launch" / "fsdp2.yaml"))
    assert read.num_processes == 8
    assert read.fsdp_config["fsdp_version"] == 2


@pytest.mark.parametrize("stage", STAGES)
def test_the_numbers_follow_from_the_formulas(stage: str) -> None:
    assert STAGES[stage].work_out(LETTERS) == pytest.approx(STAGES[stage].here)


def test_the_lengths_of_our_texts_are_theirs() -> None:
    chosen = principles.load("sso")
    asked = AllocationRequest(chosen).request("x", [{"role": "user", "content": ""}], 1, 1).messages
    empty = [{"role": "user", "content": ""}]
    judged = template("judge").render(prompt=empty, first="m", second="M", first_reply="", second_reply="")
    written = [
        template("principles").render(
            prompt=empty, feature=one.name, meaning=one.meaning, good=one.good.adjective, bad=one.bad.adjective
        )
        for one in chosen.features
    ]

    def tokens(*conversations: Any) -> int:
        return ceil(mean(sum(len(turn["content"]) for turn in turns) for turns in conversations) / 4)

    systems = [[{"content": text}] for text in chosen.system_messages()]
    found = {"F": tokens(asked), "S": tokens(*systems), "C": tokens(*written), "J": tokens(judged)}
    assert found == {letter: LETTERS[letter] for letter in found}


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scale")
    texts = [f"What of the number {n}{' and the one after it' * (n % 3)}?" for n in range(PROMPTS)]
    (folder / "prompts.jsonl").write_text("".join(json.dumps({"prompt": text}) + "\n" for text in texts))
    config = {
        "run": {"iterations": 1},
        "prompts": {"paths": [str(folder / "prompts.jsonl")]},
        "engine": "scripted",
        "principles": {"source": "generated"},
        "sampling": {"samples_per_view": SAMPLES},
        "filters": [{"use": "judge_agrees"}],
        "judges": [{"name": "J", "frugal": False}],
        "export": {"formats": []},
    }
    factory.run(Config.model_validate(config), folder / "run")
    return folder / "run"


def used(run_dir: Path, stage: str, name: str) -> tuple[int, int, int]:
    asker = json.loads((run_dir / f"{stage}.manifest.json").read_text())["used"][name]
    return asker["requests"], asker["prompt_tokens"], asker["completion_tokens"]


def words(turns: Any) -> int:
    return sum(len(turn["content"].split()) for turn in turns)


def test_the_formulas_give_what_a_run_asks(run_dir: Path) -> None:
    """The scripted engine's tokens are words, and its replies have no end token."""
    triples = pl.read_parquet(run_dir / "iterations/1/triples.parquet")
    contrast = pl.read_parquet(run_dir / "iterations/1/contrast.parquet")
    chosen = principles.load("sso")
    one = [{"role": "user", "content": "x"}]
    judged = template("judge").render(prompt=one, first="m", second="M", first_reply="x", second_reply="x")
    frames = [
        words(
            template("principles").render(
                prompt=one,
                feature=name,
                meaning=feature.meaning,
                good=feature.good.adjective,
                bad=feature.bad.adjective,
            )
        )
        for name in contrast["feature"]
        for feature in [chosen.by_name[name]]
    ]
    features = used(run_dir, "iterations/1/features", "features 1")
    written = used(run_dir, "iterations/1/contrast", "principles 1")
    replies = used(run_dir, "iterations/1/triples", "replies 1")
    assert triples.height == PROMPTS * SAMPLES
    letters = {
        "P": mean(words(prompt) for prompt in triples["prompt"]),
        "R": mean(triples[f"tokens_{reply}"].mean() for reply in REPLIES),
        "F": words(AllocationRequest(chosen).request("x", one, 1, 1).messages) - 1,
        "C": mean(frames) - 1,
        "S": mean(len(text.split()) for name in ("system_good", "system_bad") for text in contrast[name]),
        "J": words(judged) - 3,
        "A": features[2] / PROMPTS,
        "G": written[2] / PROMPTS,
        "k": SAMPLES,
        "y": 1.0,
        "v": 2.0,
    }

    def worked_out(stage: str, **others: float) -> Any:
        return pytest.approx([n * PROMPTS / 1000 for n in STAGES[stage].work_out(letters | others)])

    assert list(features) == worked_out("features")
    assert list(written) == worked_out("contrast")
    assert list(replies) == worked_out("replies")
    judge = used(run_dir, "filtered/filter", "judge J")
    shown_replies = mean(triples[f"tokens_{reply}"].mean() for reply in ("chosen", "rejected"))
    assert list(judge) == worked_out("each judge", R=shown_replies)
    scored = used(run_dir, "iterations/1/scores", "scores 1")
    read_by_sso = (3 * triples["tokens_chosen"] + 2 * triples["tokens_rejected"] + triples["tokens_original"]) / 6
    calls, read, _ = STAGES["scores"].work_out(letters | {"R": read_by_sso.mean() + 1})
    replies_alone = read - STAGES["replies"].work_out(letters)[1]
    assert list(scored[:2]) == pytest.approx([calls * PROMPTS / 1000, replies_alone * PROMPTS / 1000])


def test_training_reads_six_replies_under_three_views() -> None:
    methods = pytest.importorskip("factory.training.methods")
    needed = methods.method_of(Training()).needed
    assert (len(needed), len({each.view for each in needed})) == (6, 3)
    letters = LETTERS | dict.fromkeys(("P", "S"), 0.0)
    assert STAGES["training"].work_out(letters)[1] == pytest.approx(1000 * LETTERS["y"] * len(needed) * LETTERS["R"])
