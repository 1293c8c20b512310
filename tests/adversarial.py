"""Pairs made to be dropped, cut or made identical by trainers, and what TRL itself makes of them."""

import random
from types import SimpleNamespace
from typing import Any

import datasets

LENGTHS = (1, 2, 5, 20, 60, 200)
PIECES = (
    "Explain briefly ", "naïve café ", "\n", "\n\n", "  ", "<think>\nhm\n</think>\n\n", "{{content}} ", "{{idx}}",
    "漢字", "<|im_end|>", "<|endoftext|>", "an engaging answer. ", "user\n", "\u200b", "\t", "e\u0301", "x" * 30,
)  # fmt: skip
ENDINGS = ("", "", "\n", "\n\n", " ", "<|im_end|>", " <|im_end|>")


def text(draw: random.Random, pieces: int) -> str:
    made = "".join(draw.choice(PIECES) for _ in range(pieces))
    return made if made.strip() else "a" + made


def adversarial(count: int, seed: int = 0) -> list[dict[str, Any]]:
    """`count` pairs as {turns, system, chosen, rejected}: equal up to their last letters, or all but white space."""
    draw = random.Random(seed)
    rows = []
    for _ in range(count):
        turns = [text(draw, draw.choice(LENGTHS) // draw.choice((1, 4)) + 1) for _ in range(draw.choice((1, 1, 1, 3)))]
        chosen, rejected = replies(draw)
        if chosen != rejected:
            system = draw.choice(("", "", "Be brief."))
            rows.append({"turns": turns, "system": system, "chosen": chosen, "rejected": rejected})
    return rows


def replies(draw: random.Random) -> tuple[str, str]:
    """Two replies: unlike, alike but for their ends, or one that goes on where the other is short."""
    shared, other = (text(draw, draw.choice(LENGTHS)) for _ in range(2))
    ends = [(draw.choice(ENDINGS), draw.choice(ENDINGS)), ("yes", "no"), (" and", " or else")]
    kind = draw.randrange(5)
    if kind < len(ends):
        return shared + ends[kind][0], shared + ends[kind][1]
    return shared, other if kind == len(ends) else text(draw, 1)


def conversation(row: dict[str, Any], *, system: bool = True) -> list[dict[str, str]]:
    """The prompt of a row as messages."""
    led = [{"role": "system", "content": row["system"]}] if row["system"] and system else []
    return led + [
        {"role": "assistant" if place % 2 else "user", "content": said} for place, said in enumerate(row["turns"])
    ]


def reply(said: str) -> list[dict[str, str]]:
    return [{"role": "assistant", "content": said}]


def as_rm(row: dict[str, Any]) -> dict[str, Any]:
    asked = conversation(row)
    return {side: asked + reply(row[side]) for side in ("chosen", "rejected")}


def as_dpo(row: dict[str, Any]) -> dict[str, Any]:
    return {"prompt": conversation(row), **{side: reply(row[side]) for side in ("chosen", "rejected")}}


def as_alpaca(row: dict[str, Any]) -> dict[str, Any]:
    *before, last = row["turns"]
    history = [list(two) for two in zip(before[::2], before[1::2], strict=True)]
    return {"instruction": last, "history": history, **{name: row[name] for name in ("system", "chosen", "rejected")}}


Sides = dict[int, tuple[list[int], list[int]]]


def by_trl_reward(rows: list[dict[str, Any]], tokenizer: Any, longest: int) -> Sides:
    """Row to the tokens of both sides, for the rows that TRL's RewardTrainer keeps."""
    from trl import RewardTrainer

    args = SimpleNamespace(max_length=longest, dataset_num_proc=None)
    made = RewardTrainer._prepare_dataset(None, _numbered(rows), tokenizer, args, "train")
    return {row["number"]: (row["chosen_ids"], row["rejected_ids"]) for row in made}


def by_trl_dpo(rows: list[dict[str, Any]], tokenizer: Any, longest: int) -> Sides:
    """Likewise for its DPOTrainer, with what its collator cuts."""
    from trl import DPOTrainer
    from trl.trainer.dpo_trainer import DataCollatorForPreference

    args = SimpleNamespace(max_length=longest, dataset_num_proc=None, truncation_mode="keep_start")
    itself = SimpleNamespace(_tokenizer=tokenizer)
    made = DPOTrainer._prepare_dataset(itself, _numbered(rows), tokenizer, args, "train")
    collate = DataCollatorForPreference(pad_token_id=0, max_length=longest, truncation_mode="keep_start")
    sides = {}
    for row in made:
        batch = collate([row])
        sides[row["number"]] = tuple(
            ids[mask.bool()].tolist() for ids, mask in zip(batch["input_ids"], batch["attention_mask"], strict=True)
        )
    return sides


def _numbered(rows: list[dict[str, Any]]) -> datasets.Dataset:
    return datasets.Dataset.from_list([{**row, "number": place} for place, row in enumerate(rows)])
