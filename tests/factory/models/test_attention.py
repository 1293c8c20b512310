"""Windows under any name, and rotations that hang on the length of a batch: scored alone, or refused in a sentence."""

import polars as pl
import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from factory.config import Training
from factory.config.engines import TransformersEngine
from factory.engines.base import Reply, ScoreRequest
from factory.engines.transformers import TransformersModel
from factory.errors import ConfigError
from factory.models.attention import even_up_to, evenly, possible_window
from factory.models.layout import Encoded
from factory.models.ref import ModelRef
from factory.training import TrainingJob
from factory.training.run import train
from tests.tiny import tiny_model_folder
from tests.training_pairs import scored_pairs

PLAIN = (
    "llama",
    "qwen2",
    "qwen3",
    "qwen3_moe",
    "gemma",
    "phi",
    "phi3",
    "smollm3",
    "granite",
    "olmo2",
    "cohere",
    "gpt2",
    "gpt_neox",
    "starcoder2",
    "stablelm",
    "falcon",
    "opt",
    "gptj",
    "glm",
    "glm4",
    "mixtral",
    "ministral3",
    "nemotron",
    "deepseek_v3",
    "helium",
    "ernie4_5",
    "hunyuan_v1_dense",
    "seed_oss",
    "apertus",
)
LONGROPE = {
    "rope_type": "longrope",
    "short_factor": [1.0] * 4,
    "long_factor": [4.0] * 4,
    "factor": 4.0,
    "original_max_position_embeddings": 64,
}
EXTENDED = {"rope_parameters": LONGROPE, "original_max_position_embeddings": 64}


@pytest.mark.parametrize("arch", PLAIN)
def test_no_size_of_a_plain_model_is_taken_for_a_window(arch):
    """Else it would be probed at length, or not packed at all. Qwen's max_window_layers is the one small exception."""
    assert possible_window(AutoConfig.for_model(arch).get_text_config()) < 64


@pytest.mark.parametrize(
    ("arch", "window"),
    [
        ("gpt_neo", 256),
        ("gpt_oss", 128),
        ("mistral", 4096),
        ("deepseek_v32", 2048),
        ("doge", 2048),
        ("modernbert-decoder", 128),
    ],
)
def test_what_may_be_a_window_is_found_whatever_its_name(arch, window):
    config = AutoConfig.for_model(arch).get_text_config()
    config.max_position_embeddings = 10**6
    assert possible_window(config) == window


def test_the_length_up_to_which_positions_are_a_sequences_own():
    assert even_up_to(AutoConfig.for_model("llama")) is None
    assert even_up_to(AutoConfig.for_model("llama", rope_parameters={"rope_type": "linear", "factor": 2.0})) is None
    assert even_up_to(AutoConfig.for_model("phi3", hidden_size=256, **EXTENDED)) == 64
    dynamic = AutoConfig.for_model("llama", rope_parameters={"rope_type": "dynamic", "factor": 2.0})
    assert even_up_to(dynamic) == dynamic.max_position_embeddings


def test_items_beyond_it_are_taken_apart():
    short, long = Encoded([1, 2], ([3], [4, 5])), Encoded([1, 2], ([3] * 9, [4]))
    assert evenly([short, long], None) == evenly([short, long], 11) == [[short, long]]
    alone = [[Encoded([1, 2], (reply,))] for reply in ([3], [4, 5], [3] * 9, [4])]
    assert evenly([short, long], 10) == alone


@pytest.fixture(scope="module")
def phi3(tmp_path_factory):
    """A tiny Phi-3 whose positions are turned otherwise beyond 64 tokens."""
    torch.set_num_threads(1)
    folder = tiny_model_folder(tmp_path_factory.mktemp("phi3"), "phi3", sliding_window=None, **EXTENDED)
    return ModelRef(str(folder))


def test_scores_do_not_depend_on_what_is_scored_beside(phi3):
    replies = [Reply("A storm at sea " * n, False) for n in (2, 30)]
    message = [{"role": "user", "content": "Write."}]
    requests = [ScoreRequest(str(n), message, (reply,)) for n, reply in enumerate(replies)]
    requests.append(ScoreRequest("both", message, tuple(replies)))
    engine = TransformersModel(TransformersEngine(device="cpu"), phi3)
    together = {score.id: score for score in engine.score(requests)}
    alone = [next(iter(engine.score([request]))).logps[0] for request in requests[:2]]
    assert together["0"].tokens[0] < 50 < 64 < together["1"].tokens[0]
    assert [together["0"].logps[0], together["1"].logps[0]] == pytest.approx(alone, abs=1e-5)
    assert together["both"].logps == pytest.approx(alone, abs=1e-5)


def test_training_beyond_it_is_refused_and_within_it_packed(phi3, tmp_path):
    pairs = scored_pairs(4)
    config = Training(method="annotated", learning_rate=1e-3)
    report = train(TrainingJob(pairs, phi3, tmp_path / "short", config, seed=1, iteration=1))
    assert report.layout == "flat"
    long = pairs.with_columns(chosen=pl.lit("A storm at sea " * 40))
    with pytest.raises(ConfigError, match=r"beyond 64 tokens Phi3ForCausalLM .*; set max_length to 64 or less"):
        train(TrainingJob(long, phi3, tmp_path / "long", config, seed=1, iteration=1))


def test_such_a_model_would_indeed_differ(phi3):
    """The gate above is not about nothing: the same tokens, alone and beside a longer row."""
    model = AutoModelForCausalLM.from_pretrained(phi3.name).eval()
    ids = torch.randint(3, 200, (2, 100), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        alone = model(input_ids=ids[:1, :40]).logits
        beside = model(input_ids=ids).logits[:1, :40]
    assert (alone - beside).abs().max() > 1e-2
