"""How to load each format in each trainer, for the card."""

from typing import NamedTuple


class Recipe(NamedTuple):
    """A few lines for one trainer; `{place}` is the repository or folder."""

    trainer: str
    language: str
    lines: str


def _trl(trainer: str, module: str = "trl") -> Recipe:
    return Recipe(
        f"TRL {trainer}",
        "python",
        f"""from datasets import load_dataset; from {module} import {trainer}
data = load_dataset("{{place}}")
{trainer}(model="Qwen/Qwen2.5-0.5B-Instruct", train_dataset=data["train"]).train()""",
    )


_OPENRLHF = Recipe(
    "OpenRLHF",
    "bash",
    """deepspeed --module openrlhf.cli.train_rm --model.model_name_or_path Qwen/Qwen2.5-0.5B-Instruct \\
  --data.dataset {place} --data.apply_chat_template --data.max_len 2048 \\
  --data.chosen_key chosen --data.rejected_key rejected --ckpt.output_dir out""",
)
_REWARDBENCH = Recipe(
    "rewardbench, to score it with a reward model",
    "bash",
    "rewardbench --model YOUR/REWARD-MODEL --dataset {place} --split train",
)
_LLAMAFACTORY = Recipe(
    "LLaMA-Factory (a folder; it reads dataset_info.json)",
    "bash",
    """llamafactory-cli train --stage rm --do_train --dataset_dir {place} \\
  --dataset sso_pairs --template qwen --finetuning_type lora \\
  --model_name_or_path Qwen/Qwen2.5-0.5B-Instruct --output_dir out""",
)
_AXOLOTL = Recipe(
    "axolotl",
    "yaml",
    """base_model: Qwen/Qwen2.5-0.5B-Instruct
model_type: AutoModelForSequenceClassification
num_labels: 1
reward_model: true
chat_template: tokenizer_default
sequence_len: 2048
output_dir: out
datasets:
  - {{path: {place}, type: bradley_terry.chat_template, split: train}}""",
)
_VERL = Recipe(
    "verl's reward-model data set",
    "python",
    """from glob import glob; from verl.utils.dataset.rm_dataset import RMDataset
files = glob("{place}/data/train-*.parquet")
data = RMDataset(files, tokenizer="Qwen/Qwen2.5-0.5B-Instruct", max_length=2048)""",
)
_SSO = Recipe("sso-factory", "bash", "sso-factory train {place} --policy YOUR/MODEL --out policy")
_TABLE = Recipe(
    "polars",
    "python",
    """from datasets import load_dataset
frame = load_dataset("{place}", split="train").to_polars()""",
)

RECIPES: dict[str, tuple[Recipe, ...]] = {
    "rm": (_trl("RewardTrainer"), _trl("DPOTrainer"), _OPENRLHF, _REWARDBENCH),
    "dpo": (_trl("DPOTrainer"),),
    "sso": (_SSO,),
    "llamafactory": (_LLAMAFACTORY,),
    "axolotl": (_AXOLOTL,),
    "verl": (_VERL,),
    "kto": (_trl("KTOTrainer"),),
    "tpo": (_trl("TPOTrainer", "trl.experimental.tpo"),),
    "sdft": (_trl("SDFTTrainer", "trl.experimental.sdft"),),
    "pairs": (_TABLE, _SSO),
}


def recipes(format: str, place: str) -> list[Recipe]:
    """The recipes of a format with the place filled in."""
    found = RECIPES.get(format, (_TABLE,))
    return [recipe._replace(lines=recipe.lines.format(place=place)) for recipe in found]
