"""Without steering and weight the objective is IPO, DPO or hinge: TRL's trainer gives the same on the same batch."""

import copy

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from factory.config import Training
from factory.models.layout import Encoded, layout
from factory.models.sequences import plan_for, reply_logps
from factory.training.batches import scored
from factory.training.methods import method_of
from tests.pairs import assistant
from tests.training_pairs import scored_pairs, tiny_policy

trl = pytest.importorskip("trl")
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning")


@pytest.fixture(scope="module")
def policy(tmp_path_factory):
    torch.set_num_threads(1)
    return tiny_policy(tmp_path_factory.mktemp("policy")).name


def dpo_trainer(folder, policy, loss_type):
    """TRL's trainer with a policy that has already moved away from its reference."""
    from datasets import Dataset

    pairs = scored_pairs(6).select("prompt", "chosen", "rejected").iter_rows(named=True)
    rows = [{**row, "chosen": [assistant(row["chosen"])], "rejected": [assistant(row["rejected"])]} for row in pairs]
    options = {"per_device_train_batch_size": 6, "report_to": "none", "use_cpu": True, "bf16": False}
    trainer = trl.DPOTrainer(
        model=AutoModelForCausalLM.from_pretrained(policy),
        ref_model=AutoModelForCausalLM.from_pretrained(policy),
        args=trl.DPOConfig(
            output_dir=str(folder), loss_type=loss_type, gradient_checkpointing=False, beta=0.2, **options
        ),
        train_dataset=Dataset.from_list(rows),
        processing_class=AutoTokenizer.from_pretrained(policy),
    )
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in trainer.model.parameters():
            parameter += 0.02 * torch.randn(parameter.shape, generator=generator)
    return trainer


def items(batch):
    """The very token ids of TRL's batch: rows of the chosen, then of the rejected replies."""
    rows = []
    for ids, seen, reply in zip(batch["input_ids"], batch["attention_mask"], batch["completion_mask"], strict=True):
        rows.append((ids[(seen == 1) & (reply == 0)].tolist(), ids[reply == 1].tolist()))
    half = len(rows) // 2
    pairs = zip(rows[:half], rows[half:], strict=True)
    return [Encoded(prompt, (chosen, rejected)) for (prompt, chosen), (same, rejected) in pairs if prompt == same]


def ours(model, reference, batch, config):
    plan = plan_for(model)
    tensors = layout(items(batch), plan.layout)
    assert plan.layout == "flat"
    assert len(tensors.counts) == 12, "TRL's batch has the same prompt in both halves"
    with torch.no_grad():
        given = reply_logps(reference, tensors, plan).sums
    method = method_of(config)
    terms = method.terms(scored(method.needed, reply_logps(model, tensors, plan).sums, tensors.counts, given))
    return terms.loss.mean(), terms.margin


def gradients(model, loss):
    model.zero_grad()
    loss.backward()
    return {name: copy.deepcopy(parameter.grad) for name, parameter in model.named_parameters()}


OFF = {"method": "sso_no_w", "gamma": 0.0}


@pytest.mark.parametrize("options", [OFF, {"method": "pbaa"}, {"method": "annotated"}])
@pytest.mark.parametrize(("loss", "loss_type"), [("ipo", "ipo"), ("dpo", "sigmoid"), ("hinge", "hinge")])
def test_loss_and_gradient_equal_trls(tmp_path, policy, loss, loss_type, options):
    trainer = dpo_trainer(tmp_path, policy, loss_type)
    batch = next(iter(trainer.get_train_dataloader()))
    theirs = trainer.compute_loss(trainer.model, batch)
    expected = gradients(trainer.model, theirs)
    config = Training(loss=loss, beta=0.2, **options)
    found, margin = ours(trainer.model, trainer.ref_model, batch, config)
    assert margin.abs().max() > 0.05, "the policy has moved, so the losses are not those of margin 0"
    assert found.item() == pytest.approx(theirs.item(), abs=1e-5)
    for name, gradient in gradients(trainer.model, found).items():
        assert torch.allclose(gradient, expected[name], atol=1e-4, rtol=1e-4), name
