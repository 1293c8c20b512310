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


def as_verl(row: dict[str, Any]) -> dict[str, Any]:
    return {"prompt": "\n".join(row["turns"]), "chosen": row["chosen"], "rejected": row["rejected"]}


def by_verl(rows: list[dict[str, Any]], tokenizer: Any, longest: int) -> Sides:
    """What volcengine/verl's RMDataset (verl/utils/dataset/rm_dataset.py, __getitem__ and _pad_to_length) hands out.

    In our words: prompt and reply are tokenized one by one, each with the tokenizer's own special tokens; the end token
    follows the reply; both sides are brought to one length, filled with zeros that the mask hides or cut at the end.
    """
    found = {}
    for place, row in enumerate(rows):
        sides = []
        for reply_ in (row["chosen"], row["rejected"]):
            parts = [
                tokenizer(text_, return_tensors="pt")["input_ids"][0].tolist() for text_ in (row["prompt"], reply_)
            ]
            ids = [*parts[0], *parts[1], tokenizer.eos_token_id]
            padded, mask = ids + [0] * (longest - len(ids)), [1] * len(ids) + [0] * (longest - len(ids))
            sides.append([one for one, seen in zip(padded[:longest], mask[:longest], strict=True) if seen])
        found[place] = (sides[0], sides[1])
    return found


def by_rewardbench(rows: list[dict[str, Any]], tokenizer: Any, longest: int) -> Sides:
    """What allenai/reward-bench gives its model, for the rows at which it does not end.

    In our words: rewardbench/utils.py takes chosen without its last message for the prompt of both sides
    (load_preference_dataset, switch_format), gives roles by position, asserts that the last one is the user's, and
    renders each side as text (prepare_dialogue_from_tokenizer); rewardbench/rewardbench.py (actual_main, with
    --force_truncation) has that tokenized with truncation on the left, which special tokens survive.
    """
    tokenizer.truncation_side, found = "left", {}
    for place, row in enumerate(rows):
        turns = [message["content"] for message in row["chosen"][:-1]]
        roles = [("user", "assistant")[at % 2] for at in range(len(turns))]
        if not roles or roles[-1] != "user":
            continue
        asked = [{"role": role, "content": said} for role, said in zip(roles, turns, strict=True)]
        texts = [
            tokenizer.apply_chat_template([*asked, *reply(row[side][-1]["content"])], tokenize=False)
            for side in ("chosen", "rejected")
        ]
        ids = tokenizer(texts, truncation=True, max_length=longest)["input_ids"]
        found[place] = (ids[0], ids[1])
    return found


def _numbered(rows: list[dict[str, Any]]) -> datasets.Dataset:
    return datasets.Dataset.from_list([{**row, "number": place} for place, row in enumerate(rows)])
