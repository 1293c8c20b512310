"""OpenRLHF cuts both sides and puts the end token over the last one: long pairs may train as two equal sides."""

from factory.exports.check.trainers.base import Cells, Prepared, Tokenizer, Trainer, ids_of, rendered

_VERSION = "OpenRLHF 0.11.0"
_ANSWER = 2
"""Tokens that DPO wants to be left for the answer."""


def _reward(cells: Cells, tokenizer: Tokenizer, longest: int) -> Prepared:
    if "prompt" in cells:
        return _sides(*_explicit(cells, tokenizer), tokenizer, longest)
    return _sides("", rendered(tokenizer, cells["chosen"]), rendered(tokenizer, cells["rejected"]), tokenizer, longest)


def _dpo(cells: Cells, tokenizer: Tokenizer, longest: int) -> Prepared:
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


OPENRLHF_REWARD = Trainer("OpenRLHF train_rm", _VERSION, ("rm", "dpo"), _reward)
OPENRLHF_DPO = Trainer("OpenRLHF train_dpo", _VERSION, ("rm", "dpo"), _dpo)
