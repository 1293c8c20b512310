"""What trainers drop, cut or make identical: as TRL itself does, pair by pair; the others by their rules, by hand."""

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import datasets
import pytest
from click.testing import CliRunner
from tokenizers.processors import Sequence, TemplateProcessing

from factory.cli import main
from factory.commands.check_data import check_data
from factory.errors import ConfigError
from factory.exports import EXPORTERS
from factory.exports.check.predict import predict
from factory.exports.check.trainers import (
    AXOLOTL,
    OPENRLHF_DPO,
    OPENRLHF_REWARD,
    PAIRWISE,
    REWARDBENCH,
    TRAINERS,
    TRL_DPO,
    TRL_REWARD,
    VERL,
)
from factory.exports.check.trainers.base import CUT, DROPPED, EFFECTS, IDENTICAL, TRAINS
from tests.adversarial import (
    adversarial,
    as_alpaca,
    as_dpo,
    as_rm,
    as_verl,
    by_rewardbench,
    by_trl_dpo,
    by_trl_reward,
    by_verl,
)
from tests.pairs import assistant, user
from tests.tiny import tiny_model_folder, tiny_tokenizer

ROWS = adversarial(220)


@pytest.fixture(autouse=True)
def _quiet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    datasets.disable_progress_bars()


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning", "ignore::DeprecationWarning")
@pytest.mark.parametrize(
    ("trainer", "theirs", "shape", "longest", "seen"),
    [
        (TRL_REWARD, by_trl_reward, as_rm, 128, {DROPPED, TRAINS}),
        (TRL_DPO, by_trl_dpo, as_rm, 64, {DROPPED, CUT, IDENTICAL, TRAINS}),
        (TRL_DPO, by_trl_dpo, as_dpo, 256, {DROPPED, CUT, IDENTICAL, TRAINS}),
    ],
)
def test_trl_s_own_preprocessing_gives_the_same_tokens(
    trainer: Any, theirs: Any, shape: Any, longest: int, seen: set[str]
) -> None:
    """Some 200 pairs: the same are dropped, and the tokens of both sides of all others are the same."""
    tokenizer = tiny_tokenizer()
    rows = [shape(row) for row in ROWS]
    assert len(rows) > 200
    kept = theirs(rows, tokenizer, longest)
    made = [trainer.prepare(row, tokenizer, longest) for row in rows]
    assert {place for place, one in enumerate(made) if one.dropped is None} == set(kept)
    assert all((made[place].chosen, made[place].rejected) == sides for place, sides in kept.items())
    assert {one.effect for one in made} == seen


def special_tokens(tokenizer: Any, *around: bool) -> Any:
    """The tokenizer, which puts its end token before or after every text, or on both sides."""
    end = tokenizer.eos_token
    single = " ".join([end] * around[0] + ["$A"] + [end] * around[1])
    added = TemplateProcessing(single=single, special_tokens=[(end, tokenizer.eos_token_id)])
    tokenizer.backend_tokenizer.post_processor = Sequence([tokenizer.backend_tokenizer.post_processor, added])
    return tokenizer


@pytest.mark.parametrize("around", [(False, False), (True, False), (True, True)])
@pytest.mark.parametrize(
    ("trainer", "theirs", "shape", "seen"),
    [
        (VERL, by_verl, as_verl, {CUT, IDENTICAL, TRAINS}),
        (REWARDBENCH, by_rewardbench, as_rm, {CUT, TRAINS}),
    ],
)
def test_verl_and_rewardbench_as_their_code_reads_give_the_same_tokens(
    trainer: Any, theirs: Any, shape: Any, seen: set[str], around: tuple[bool, bool]
) -> None:
    """Some 100 pairs, with tokenizers that add nothing, a token before, and one on either side."""
    tokenizer = special_tokens(tiny_tokenizer(), *around)
    rows = [shape(row) for row in ROWS[:100]]
    kept = theirs(rows, tokenizer, 64)
    made = {}
    for place, row in enumerate(rows):
        with suppress(ValueError):  # what ends rewardbench
            made[place] = trainer.prepare(row, tokenizer, 64)
    assert {place: (one.chosen, one.rejected) for place, one in made.items()} == kept
    assert len(kept) > 50
    assert {one.effect for one in made.values()} == seen


def long_pair(words: int) -> dict[str, Any]:
    """Two replies that are the same for so many words, and part then."""
    shared = "so " * words
    return {"turns": ["q"], "system": "", "chosen": shared + "yes", "rejected": shared + "no"}


def test_openrlhf_trains_pairs_that_a_cut_made_identical() -> None:
    tokenizer = tiny_tokenizer()
    row = as_rm(long_pair(60))
    made = OPENRLHF_REWARD.prepare(row, tokenizer, 40)
    assert made.effect == IDENTICAL
    assert made.chosen[-1] == tokenizer.eos_token_id
    assert len(made.chosen) == 40
    assert OPENRLHF_DPO.prepare(row, tokenizer, 40).effect == IDENTICAL
    assert TRL_REWARD.prepare(row, tokenizer, 40).effect == DROPPED
    assert OPENRLHF_REWARD.prepare(row, tokenizer, 4000).effect == TRAINS
    end = {"chosen": [user("q"), assistant("a")], "rejected": [user("q"), assistant("a\n")]}
    assert OPENRLHF_REWARD.prepare(end, tokenizer, 4000).effect == TRAINS, "ChatML ends the turn after the line break"


def test_openrlhf_dpo_drops_a_prompt_that_leaves_less_than_three_tokens() -> None:
    tokenizer = tiny_tokenizer()
    row = as_rm({"turns": ["q"], "system": "", "chosen": "a", "rejected": "b"})
    prompt = len(tokenizer.apply_chat_template([user("q")], return_dict=True, add_generation_prompt=True)["input_ids"])
    assert OPENRLHF_DPO.prepare(row, tokenizer, prompt + 2).effect == DROPPED
    assert OPENRLHF_DPO.prepare(row, tokenizer, prompt + 3).effect != DROPPED


def test_trl_drops_at_the_token_that_is_one_too_many() -> None:
    tokenizer = tiny_tokenizer()
    row = as_rm({"turns": ["q"], "system": "", "chosen": "a", "rejected": "b"})
    prompt = len(tokenizer.apply_chat_template([user("q")], return_dict=True, add_generation_prompt=True)["input_ids"])
    side = len(TRL_REWARD.prepare(row, tokenizer, 1000).chosen)
    assert [TRL_DPO.prepare(row, tokenizer, prompt + more).effect for more in (0, 1)] == [DROPPED, CUT]
    assert [TRL_REWARD.prepare(row, tokenizer, side - less).effect for less in (0, 1)] == [TRAINS, DROPPED]


def test_llamafactory_shares_the_length_out_and_drops_nothing() -> None:
    """Prompt and reply of more than half each: both give way in proportion; a short one is left whole."""
    tokenizer = tiny_tokenizer()
    for row in map(as_alpaca, ROWS[:60]):
        whole = PAIRWISE.prepare(row, tokenizer, 100_000)
        made = PAIRWISE.prepare(row, tokenizer, 50)
        assert made.dropped is None
        assert max(len(made.chosen), len(made.rejected)) <= 50
        assert made.cut == (max(len(whole.chosen), len(whole.rejected)) > 50)
    row = as_alpaca(long_pair(60))
    assert PAIRWISE.prepare(row, tokenizer, 50).effect == IDENTICAL
    sharegpt = {
        "conversations": [{"from": "human", "value": "q"}],
        **{side: {"from": "gpt", "value": row[side]} for side in ("chosen", "rejected")},
    }
    assert PAIRWISE.prepare(sharegpt, tokenizer, 50) == PAIRWISE.prepare(row, tokenizer, 50)


def test_axolotl_opens_with_an_empty_system_message_and_cuts() -> None:
    tokenizer = tiny_tokenizer()
    row = {"system": "", "input": "q", "chosen": "yes", "rejected": "no"}
    made = AXOLOTL.prepare(row, tokenizer, 1000)
    opened = "<|im_start|>system\n<|im_end|>\n<|im_start|>user\nq<|im_end|>\n<|im_start|>assistant\n"
    assert tokenizer.decode(made.chosen) == f"{opened}yes<|im_end|>\n"
    assert AXOLOTL.prepare(row, tokenizer, len(tokenizer.encode(opened))).effect == IDENTICAL


def test_verl_puts_a_reply_s_tokens_behind_the_prompt_s_and_cuts() -> None:
    tokenizer = tiny_tokenizer()
    row = {"prompt": "q", "chosen": "yes", "rejected": "no"}
    made = VERL.prepare(row, tokenizer, 1000)
    assert made.chosen == tokenizer.encode("q") + tokenizer.encode("yes") + [tokenizer.eos_token_id]
    assert VERL.prepare(row, tokenizer, 1).effect == IDENTICAL


def test_rewardbench_keeps_the_end_and_knows_no_system_message(tmp_path: Path) -> None:
    tokenizer = tiny_tokenizer()
    row = as_rm(long_pair(60))
    assert REWARDBENCH.prepare(row, tokenizer, 40).effect == CUT
    led = as_rm({**long_pair(2), "system": "Be brief."})
    (tmp_path / "a.jsonl").write_text("\n".join(json.dumps(one) for one in (row, led)))
    found = {one.trainer: one for one in predict(tmp_path / "a.jsonl", "rm", tokenizer, 4000)}
    assert found[REWARDBENCH.name].effects == dict.fromkeys(EFFECTS, 0) | {"fails": 1}
    assert "roles by position" in found[REWARDBENCH.name].affected[0].why
    assert found[TRL_DPO.name].effects == dict.fromkeys(EFFECTS, 0)


def test_a_template_that_trims_makes_pairs_identical_that_part_in_white_space() -> None:
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = tokenizer.chat_template.replace("message['content']", "message['content'] | trim")
    row = {"chosen": [user("q"), assistant("a")], "rejected": [user("q"), assistant("a\n")]}
    assert {one.prepare(row, tokenizer, 100).effect for one in (TRL_REWARD, TRL_DPO, OPENRLHF_REWARD)} == {IDENTICAL}


def test_every_trainer_reads_formats_that_there_are_and_says_its_version() -> None:
    assert {name for trainer in TRAINERS for name in trainer.formats} <= set(EXPORTERS)
    assert all(any(letter.isdigit() for letter in trainer.version) for trainer in TRAINERS)
    assert len({trainer.name for trainer in TRAINERS}) == len(TRAINERS)


def test_the_command_counts_by_trainer_and_names_the_first_row(tmp_path: Path) -> None:
    model = tiny_model_folder(tmp_path / "tiny")
    rows = [as_rm({"turns": ["q"], "system": "", "chosen": "a", "rejected": "b"}), as_rm(long_pair(60))]
    file = tmp_path / "pairs.jsonl"
    file.write_text("\n".join(json.dumps({**row, "pair_id": str(place)}) for place, row in enumerate(rows)))
    given = ["check-data", str(file), "--tokenizer", str(model), "--max-length", "40"]
    done = CliRunner().invoke(main, given)
    assert done.exit_code == 0, done.output
    assert "row 2: dropped, a side has more than 40 tokens" in " ".join(done.stdout.split())
    (found,) = json.loads(CliRunner().invoke(main, [*given, "--json"]).stdout)
    by_name = {one["trainer"]: one for one in found["predictions"]}
    assert by_name["OpenRLHF train_rm"]["effects"] == {"cut": 0, "identical": 1, "dropped": 0, "fails": 0}
    (pair,) = by_name["TRL RewardTrainer"]["affected"]
    assert (pair["row"], pair["pair_id"], pair["effect"]) == (2, "1", "dropped")


def test_what_cannot_be_predicted_is_said(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_text(json.dumps({"prompt": [user("q")], "privileged_context": "x"}))
    with pytest.raises(ConfigError, match="go together"):
        check_data(file, "sdft", max_length=5)
    with pytest.raises(ConfigError, match="what trainers make of sdft is not known; it is of axolotl, dpo"):
        check_data(file, "sdft", tokenizer=tiny_tokenizer(), max_length=5)
