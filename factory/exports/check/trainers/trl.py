"""TRL's RewardTrainer drops a pair with a side that is too long; its DPOTrainer cuts replies and drops long prompts."""

from typing import Any

from factory.exports.check.trainers.base import Cells, Prepared, Tokenizer, Trainer, both_cut
from factory.identity import Messages

_VERSION = "TRL 1.16.0"


def _ids(tokenizer: Tokenizer, messages: Messages, *, to_reply: bool = False) -> list[int]:
    options = {"add_generation_prompt": True} if to_reply else {}
    found: Any = tokenizer.apply_chat_template(messages, tokenize=True, return_dict=True, **options)
    return list(found["input_ids"])


def _reward(cells: Cells, tokenizer: Tokenizer, longest: int) -> Prepared:
    prompt = cells.get("prompt") or []
    chosen, rejected = (_ids(tokenizer, prompt + cells[side]) for side in ("chosen", "rejected"))
    over = max(len(chosen), len(rejected)) > longest
    return Prepared(chosen, rejected, dropped=f"a side has more than {longest} tokens" if over else None)


def _dpo(cells: Cells, tokenizer: Tokenizer, longest: int) -> Prepared:
    prompt, chosen, rejected = cells.get("prompt", []), cells["chosen"], cells["rejected"]
    if "prompt" not in cells:
        shared = _shared(chosen, rejected)
        prompt, chosen, rejected = chosen[:shared], chosen[shared:], rejected[shared:]
    alone = _ids(tokenizer, prompt, to_reply=True)
    whole = [_ids(tokenizer, prompt + reply) for reply in (chosen, rejected)]
    start = min(_shared(alone, side) for side in whole)
    long = f"the prompt has {longest} tokens or more" if start >= longest else None
    return both_cut(whole[0], whole[1], longest, long)


def _shared(one: list[Any], other: list[Any]) -> int:
    """How much two lists begin with alike; of equal messages, the last one is the reply."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((at for at, (left, right) in pairs if left != right), min(len(one), len(other)))


TRL_REWARD = Trainer("TRL RewardTrainer", _VERSION, ("rm", "dpo"), _reward)
TRL_DPO = Trainer("TRL DPOTrainer", _VERSION, ("rm", "dpo"), _dpo)
