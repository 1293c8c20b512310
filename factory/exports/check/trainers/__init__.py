"""What trainers drop, cut or make identical before they train: how each reads a format, followed token by token."""

from typing import Any

from factory.exports.check.trainers.base import Cells, Prepared, Tokenizer, Trainer, both_cut, ids_of, rendered
from factory.exports.check.trainers.llamafactory import PAIRWISE
from factory.identity import Messages


def _trl_ids(tokenizer: Tokenizer, messages: Messages, *, to_reply: bool = False) -> list[int]:
    options = {"add_generation_prompt": True} if to_reply else {}
    found: Any = tokenizer.apply_chat_template(messages, tokenize=True, return_dict=True, **options)
    return list(found["input_ids"])


def _trl_reward(cells: Cells, tokenizer: Tokenizer, longest: int) -> Prepared:
    """It drops a pair with a side that is too long."""
    prompt = cells.get("prompt") or []
    chosen, rejected = (_trl_ids(tokenizer, prompt + cells[side]) for side in ("chosen", "rejected"))
    over = max(len(chosen), len(rejected)) > longest
    return Prepared(chosen, rejected, dropped=f"a side has more than {longest} tokens" if over else None)


def _trl_dpo(cells: Cells, tokenizer: Tokenizer, longest: int) -> Prepared:
    """It cuts replies and drops long prompts."""
    prompt, chosen, rejected = cells.get("prompt", []), cells["chosen"], cells["rejected"]
    if "prompt" not in cells:
        shared = _shared(chosen, rejected)
        prompt, chosen, rejected = chosen[:shared], chosen[shared:], rejected[shared:]
    alone = _trl_ids(tokenizer, prompt, to_reply=True)
    whole = [_trl_ids(tokenizer, prompt + reply) for reply in (chosen, rejected)]
    start = min(_shared(alone, side) for side in whole)
    long = f"the prompt has {longest} tokens or more" if start >= longest else None
    return both_cut(whole[0], whole[1], longest, long)


def _shared(one: list[Any], other: list[Any]) -> int:
    """How much two lists begin with alike; of equal messages, the last one is the reply."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((at for at, (left, right) in pairs if left != right), min(len(one), len(other)))


_ANSWER = 2
"""Tokens that DPO wants to be left for the answer."""


def _openrlhf_reward(cells: Cells, tokenizer: Tokenizer, longest: int) -> Prepared:
    if "prompt" in cells:
        return _sides(*_explicit(cells, tokenizer), tokenizer, longest)
    return _sides("", rendered(tokenizer, cells["chosen"]), rendered(tokenizer, cells["rejected"]), tokenizer, longest)


def _openrlhf_dpo(cells: Cells, tokenizer: Tokenizer, longest: int) -> Prepared:
    if "prompt" in cells:
        prompt, chosen, rejected = _explicit(cells, tokenizer)
    else:
        prompt = rendered(tokenizer, cells["chosen"][:-1], to_reply=True)
        chosen, rejected = (rendered(tokenizer, cells[side])[len(prompt) :] for side in ("chosen", "rejected"))
    made = _sides(prompt, chosen, rejected, tokenizer, longest)
    long = min(len(ids_of(tokenizer, prompt, special=False)), longest) >= longest - _ANSWER
    return made._replace(dropped=f"the prompt leaves less than {_ANSWER + 1} tokens to the reply" if long else None)


def _explicit(cells: Cells, tokenizer: Tokenizer) -> tuple[str, str, str]:
    prompt = rendered(tokenizer, cells["prompt"], to_reply=True)
    chosen, rejected = (
        rendered(tokenizer, cells["prompt"] + cells[side])[len(prompt) :] for side in ("chosen", "rejected")
    )
    return prompt, chosen, rejected


def _sides(prompt: str, chosen: str, rejected: str, tokenizer: Tokenizer, longest: int) -> Prepared:
    """Both sides are cut, the end token over the last one: long pairs may train as two equal sides."""
    sides, cut = [], False
    for reply in (chosen, rejected):
        text = (prompt + reply).rstrip("\n")
        # As its dataset does it, line end, space and all: the tokens depend on them.
        text = text if text.endswith(tokenizer.eos_token) else f"{text} {tokenizer.eos_token}"
        ids = ids_of(tokenizer, text, special=False)
        cut = cut or len(ids) > longest
        # A side that was cut ends with the end token all the same: OpenRLHF overwrites its last one.
        sides.append([*ids[:longest][:-1], tokenizer.eos_token_id])
    return Prepared(sides[0], sides[1], cut)


def _axolotl(cells: Cells, tokenizer: Tokenizer, longest: int) -> Prepared:
    """An empty system message is one for it, too: whatever the column `system` holds opens the conversation."""
    asked = [{"role": role, "content": cells[column]} for role, column in (("system", "system"), ("user", "input"))]
    opened = _template_ids(tokenizer, asked, to_reply=True)
    sides = []
    for side in ("chosen", "rejected"):
        whole = _template_ids(tokenizer, [*asked, {"role": "assistant", "content": cells[side]}])
        sides.append(opened + whole[len(opened) :])
    return both_cut(sides[0], sides[1], longest)


def _template_ids(tokenizer: Tokenizer, messages: list[dict[str, str]], *, to_reply: bool = False) -> list[int]:
    return ids_of(tokenizer, rendered(tokenizer, messages, to_reply=to_reply), special=False)


def _verl(cells: Cells, tokenizer: Tokenizer, longest: int) -> Prepared:
    prompt = ids_of(tokenizer, cells["prompt"])
    chosen, rejected = (
        prompt + ids_of(tokenizer, cells[side]) + [tokenizer.eos_token_id] for side in ("chosen", "rejected")
    )
    return both_cut(chosen, rejected, longest)


def _rewardbench(cells: Cells, tokenizer: Tokenizer, longest: int) -> Prepared:
    asked = [
        {"role": "assistant" if place % 2 else "user", "content": turn["content"]}
        for place, turn in enumerate(cells["chosen"][:-1])
    ]
    if len(asked) % 2 == 0:
        raise ValueError("rewardbench gives roles by position, and the last before the reply has to be the user's")
    replies = ({"role": "assistant", "content": cells[side][-1]["content"]} for side in ("chosen", "rejected"))
    (chosen, cut), (rejected, cut_too) = (
        _cut_left(tokenizer, rendered(tokenizer, [*asked, reply]), longest) for reply in replies
    )
    return Prepared(chosen, rejected, cut or cut_too)


def _cut_left(tokenizer: Tokenizer, text: str, longest: int) -> tuple[list[int], bool]:
    """The end of a text; what the tokenizer puts around one stays, as in its own truncation."""
    whole, bare = ids_of(tokenizer, text), ids_of(tokenizer, text, special=False)
    if len(whole) <= longest:
        return whole, False
    added = len(whole) - len(bare)
    # How many of the tokens that are put around a text stand before it.
    before = next((at for at in range(added + 1) if whole[at : at + len(bare)] == bare), 0)
    kept = max(0, longest - added)
    return [*whole[:before], *bare[len(bare) - kept :], *whole[before + len(bare) :]], True


TRL_REWARD = Trainer("TRL RewardTrainer", "TRL 1.16.0", ("rm", "dpo"), _trl_reward)
TRL_DPO = Trainer("TRL DPOTrainer", "TRL 1.16.0", ("rm", "dpo"), _trl_dpo)
OPENRLHF_REWARD = Trainer("OpenRLHF train_rm", "OpenRLHF 0.11.0", ("rm", "dpo"), _openrlhf_reward)
OPENRLHF_DPO = Trainer("OpenRLHF train_dpo", "OpenRLHF 0.11.0", ("rm", "dpo"), _openrlhf_dpo)
AXOLOTL = Trainer("axolotl bradley_terry", "axolotl 0.18.0", ("axolotl",), _axolotl)
VERL = Trainer("verl RMDataset", "verl of 2025", ("verl",), _verl)
REWARDBENCH = Trainer("rewardbench --force_truncation", "rewardbench 0.1.4", ("rm",), _rewardbench)
TRAINERS: tuple[Trainer, ...] = (
    *(TRL_REWARD, TRL_DPO, OPENRLHF_REWARD, OPENRLHF_DPO),
    *(REWARDBENCH, PAIRWISE, AXOLOTL, VERL),
)
"""Those whose preprocessing is known. A new one is a function and a member here."""
