"""axolotl and verl cut from the end; rewardbench cuts from the beginning, and only where it is told to."""

from factory.exports.check.trainers.base import Cells, Prepared, Tokenizer, Trainer, both_cut, ids_of, rendered


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


AXOLOTL = Trainer("axolotl bradley_terry", "axolotl 0.18.0", ("axolotl",), _axolotl)
VERL = Trainer("verl RMDataset", "verl of 2025", ("verl",), _verl)
REWARDBENCH = Trainer("rewardbench --force_truncation", "rewardbench 0.1.4", ("rm",), _rewardbench)
