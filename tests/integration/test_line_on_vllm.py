"""The whole line on vLLM, held by the run itself and asked over HTTP; runs where vllm is installed."""

import json
from importlib.util import find_spec
from pathlib import Path

import polars as pl
import pytest

import factory
from factory import training
from factory.config import Config
from factory.config.engines import TransformersEngine
from factory.engines import vllm
from factory.engines.base import Request
from factory.engines.transformers import TransformersModel
from factory.engines.vllm import Process
from factory.models.ref import ModelRef
from factory.pipeline import Outcome
from tests.groups import lives
from tests.tiny import tiny_model_folder

pytestmark = [
    pytest.mark.vllm,
    pytest.mark.integration,
    pytest.mark.skipif(find_spec("vllm") is None, reason="vllm is not installed: make test-vllm"),
]
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("line") / "model"
    return tiny_model_folder(folder, context=4096, head_dim=64, num_attention_heads=2, num_key_value_heads=1)


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Little memory, and one process where vLLM would start two: each takes seconds to import."""
    monkeypatch.setenv("VLLM_CPU_KVCACHE_SPACE", "1")
    monkeypatch.setenv("VLLM_ENABLE_V1_MULTIPROCESSING", "0")


def quickstart(model: Path, *sets: str) -> Config:
    """The quickstart with a tiny model that always says what it finds likeliest."""
    small = [
        f"policy.model={model}",
        f"judges.0.model={model}",
        "sampling.max_new_tokens=12",
        "sampling.temperature=0",
        "training.learning_rate=0.01",
    ]
    return factory.load_config(ROOT / "examples" / "quickstart.yaml", [*small, *sets])


def check(outcome: Outcome) -> None:
    """Every pair is kept or rejected, and the judge answered."""
    tables = {
        name: pl.read_parquet(outcome.root / "filtered" / f"{name}.parquet")
        for name in ("kept", "rejected", "judgments")
    }
    assert tables["kept"].height + tables["rejected"].height == outcome.funnel.input > 0
    assert tables["judgments"]["raw"].count() == tables["judgments"].height > 0
    assert tables["judgments"]["error"].count() == 0


def check_second_policy(model: Path, run: Path) -> None:
    """What iteration 2 says is what transformers reads from the policy that iteration 1 trained, not from the first.

    But for a character whose bytes are cut off at the end, which vLLM's server leaves out.
    """
    pairs = pl.read_parquet(run / "iterations" / "2" / "triples.parquet").head(4)
    requests = [
        Request(pair_id, prompt, 12, temperature=0.0) for pair_id, prompt in pairs["pair_id", "prompt"].iter_rows()
    ]
    said = {pair_id: whole(text) for pair_id, text in pairs["pair_id", "original"].iter_rows()}
    for folder, same in ((run / "iterations" / "1" / "policy", True), (model, False)):
        known = TransformersModel(TransformersEngine(device="cpu", dtype="float32"), ModelRef(str(folder)))
        assert ({answer.id: whole(answer.text) for answer in known.generate(requests)} == said) == same


def whole(text: str) -> str:
    return text.rstrip("\ufffd")


def test_vllm_is_gone_before_training_and_serves_the_new_policy_after_it(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, alive, started = training.trainer, [], []

    class Recorded(Process):
        def __init__(self, *arguments):
            started.append(self)
            super().__init__(*arguments)

    def trainer(block, config):
        alive.append([process for process in started if lives(process._child.group)])
        return real(block, config)

    monkeypatch.setattr(vllm, "Process", Recorded)
    monkeypatch.setattr(training, "trainer", trainer)
    engine = ["engine.kind=vllm", "engine.dtype=float32", "engine.enforce_eager=true", "engine.max_model_len=4096"]
    run = tmp_path / "run"
    outcome = factory.run(quickstart(model, *engine, "run.iterations=2"), run)
    assert alive == [[], []]
    assert len(started) == 3, "one for each policy, one for the judge"
    check(outcome)
    check_second_policy(model, run)


def test_a_vllm_server_is_asked_over_http_and_serves_each_policy(model: Path, tmp_path: Path) -> None:
    """The run starts vLLM's own OpenAI-compatible server for each policy and for the judge."""
    serve = ["python", "-m", "vllm.entrypoints.openai.api_server", "--model", "{model}", "--port", "{port}"]
    serve += ["--dtype", "float32", "--enforce-eager", "--max-model-len", "4096", "--host", "127.0.0.1"]
    engine = ["engine.kind=openai", f"engine.serve={json.dumps(serve)}", "engine.seed=false"]
    engine += ["engine.structured_outputs=true"]
    run = tmp_path / "run"
    check(factory.run(quickstart(model, *engine, "run.iterations=2"), run, until="filter"))
    assert pl.read_parquet(run / "filtered" / "judgments.parquet")["vote"].null_count() == 0, "held to identifiers"
    check_second_policy(model, run)
