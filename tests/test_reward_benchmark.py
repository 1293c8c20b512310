"""benchmarks/reward.py: what its docstring says of its models, arms and numbers."""

import argparse
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks import reward, reward_bins, reward_facts, reward_records, reward_report
from benchmarks.reward_full import FullModel
from benchmarks.reward_oracles import verdict
from benchmarks.reward_records import Settings
from benchmarks.reward_trunk import Top, Trunk
from factory.models.load import load_reward_model
from factory.models.ref import ModelRef
from tests import pairs as tables
from tests.tiny import tiny_model_folder

SCRIPT = Path(reward.__file__).parent / "proof_gpu_reward.sh"


def test_the_top_gives_the_rewards_that_transformers_gives(tmp_path: Path) -> None:
    """On texts of several lengths in one batch, and on their ends, with the head that it drew."""
    name = str(tiny_model_folder(tmp_path / "model", context=256))
    trunk = Trunk(name, 90, tmp_path / "states", torch.float32)
    rows = [tables.pair([tables.user("Why?")], "because " * n, "no", source="test") for n in (2, 9, 40)]
    table = tables.table(rows)
    pairs, top = trunk.pairs(table, "some"), Top(trunk.model, seed=3)
    with torch.no_grad():
        found = top([pair.chosen for pair in pairs] + [pair.rejected for pair in pairs])
        trunk.model.score.weight.copy_(top.score.weight)
        for number, row in enumerate([*table["chosen"], *table["rejected"]]):
            ids = trunk._tokens._reader.ids([tables.user("Why?")], row)[-90:]
            expected = trunk.model(input_ids=torch.tensor([ids])).logits.item()
            assert found[number].item() == pytest.approx(expected, rel=1e-4, abs=1e-5)
    made = [place.stat().st_mtime_ns for place in (tmp_path / "states").iterdir()]
    assert (
        Trunk(name, 90, tmp_path / "states", torch.float32)
        .pairs(table, "some")[0]
        .chosen.normed.equal(pairs[0].chosen.normed)
    )
    assert [place.stat().st_mtime_ns for place in (tmp_path / "states").iterdir()] == made


def test_all_weights_but_the_last_block_held_fixed_is_the_frozen_way(tmp_path: Path) -> None:
    """Two ways to the same: after some steps on texts of several lengths, weights, rewards and loss are equal."""
    name = str(tiny_model_folder(tmp_path / "model", context=256))
    rows = [tables.pair([tables.user(f"Why {n}?")], "because " * (2 + 5 * n), "no " * n, source="t") for n in range(6)]
    bases = (Trunk(name, 90, tmp_path / "states", torch.float32), FullModel(name, 90, "cpu"))
    tops, pairs = [base.top(3) for base in bases], [base.pairs(tables.table(rows), "some") for base in bases]
    for weight, value in tops[1].named_parameters():
        value.requires_grad = weight.startswith(("body.layers.1.", "body.norm.", "score."))
    settings = Settings(steps=4, batch_pairs=4, learning_rate=0.01)
    losses = []
    for top, its in zip(tops, pairs, strict=True):
        reward.train(top, its, settings, seed=5)
        losses.append(reward.loss_of(top, its, 0.01).item())
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
    assert losses[0] < 0.9 * reward.loss_of(bases[0].top(3), pairs[0], 0.01).item()
    assert reward.margins(tops[0], pairs[0]) == pytest.approx(reward.margins(tops[1], pairs[1]), rel=1e-3, abs=1e-4)
    there = dict(tops[1].body.layers[1].named_parameters())
    for weight, value in tops[0].block.named_parameters():
        torch.testing.assert_close(value, there[weight], rtol=1e-3, atol=1e-4)
    assert tops[1].body.embed_tokens.weight.equal(bases[1].model.model.embed_tokens.weight)


@pytest.mark.parametrize("full", [False, True])
def test_to_turn_all_labels_is_to_turn_the_head(tmp_path: Path, full: bool) -> None:
    """So that what a control of one kind of pairs is expected to give can be said without training it."""
    name = str(tiny_model_folder(tmp_path / "model", context=256))
    rows = [tables.pair([tables.user(f"Why {n}?")], "because " * (2 + 5 * n), "no " * n, source="t") for n in range(6)]
    base = FullModel(name, 90, "cpu") if full else Trunk(name, 90, tmp_path / "states", torch.float32)
    pairs, settings = base.pairs(tables.table(rows), "some"), Settings(steps=4, batch_pairs=4, learning_rate=0.01)
    top, mirrored = base.top(3), base.top(3)
    mirrored.score.weight.data.neg_()
    reward.train(top, pairs, settings, seed=5)
    reward.train(mirrored, [reward.PairStates(pair.rejected, pair.chosen) for pair in pairs], settings, seed=5)
    found = reward.margins(top, pairs)
    assert max(map(abs, found)) > 0.05
    assert reward.margins(mirrored, pairs) == pytest.approx([-one for one in found], rel=1e-3, abs=1e-4)


def test_what_turned_labels_would_cost_is_said_of_arms_of_one_kind() -> None:
    """An accuracy of 0.54 becomes 0.46: eight points; a mixture of kinds has no such symmetry."""
    tests = {"hh-rlhf": 0.54, "LLMBar": 0.49, "GSM8K": 0.59}
    one = {"seeds": 5, "all": {"mean": 0.54, "low": 0.51, "high": 0.57}, "tests": tests}
    rows = reward_report.turned_rows({"arms": {"H": one, "H+S": one, "S flipped": one}})
    assert rows[2:] == ["| H | 5 | +8.0 | -2.0 | +18.0 | +8.0 (+2.0 to +14.0) |"]


def pairs_of(folder: Path, name: str, count: int) -> str:
    """A file of pairs, of which no prompt is in another file; every other one has the longer reply chosen."""
    rows = [
        tables.pair([tables.user(f"{name} {n}?")], "yes" * (1 + n % 2 * 3), "no no no", source=name)
        for n in range(count)
    ]
    tables.table(rows).write_parquet(folder / f"{name}.parquet")
    return str(folder / f"{name}.parquet")


def test_the_benchmark_makes_each_cell_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file for each arm and seed, of the same tests; a cell that is there is not made again."""
    model = str(tiny_model_folder(tmp_path / "model"))
    files = {
        name: pairs_of(tmp_path, name, count) for name, count in (("human", 24), ("S", 12), ("bar", 4), ("sums", 4))
    }
    call = ["reward.py", "--human", files["human"], "--synthetic", f"S={files['S']}", "--llmbar", files["bar"],
            "--gsm8k", files["sums"], "--out", str(tmp_path / "out"), "--model", model, "--held-out", "4", "--dev", "4",
            "--steps", "2", "--batch-pairs", "2", "--pairs", "6", "--seeds", "1", "2"]  # fmt: skip
    monkeypatch.setattr(sys, "argv", call)
    reward.main()
    cells = reward_records.read(tmp_path / "out/cells.jsonl")
    assert len(cells) == 2 * len(reward.arms(["S"])) == 20
    assert {cell["arm"]: cell["pairs"] for cell in cells} | {"H": 6, "H+H": 12, "H+S": 12, "S": 6} == {
        cell["arm"]: cell["pairs"] for cell in cells
    }
    assert {tuple(cell["tests"]) for cell in cells} == {("hh-rlhf", "LLMBar", "GSM8K", "held-out S")}
    monkeypatch.setattr(reward, "cell", lambda *_: pytest.fail("a cell was made again"))
    reward.main()
    monkeypatch.setattr(sys, "argv", [*call, "--labeller", str(tmp_path / "labeller")])
    reward.main()
    the_top_was_trained(model, tmp_path / "labeller")
    found = reward_report.results(reward_report.read(tmp_path / "out/cells.jsonl"))
    made = {tuple(one[name] for name in ("one", "other")) for one in found["contrasts"]}
    there = {cell["arm"] for cell in cells}
    assert made == {both for both in reward_report.CONTRASTS if there.issuperset(both)}


def test_processes_share_the_cells_in_which_all_weights_are_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two shards make each cell once, a choice comes before it, and cells of other settings are refused."""
    model = str(tiny_model_folder(tmp_path / "model"))
    files = {name: pairs_of(tmp_path, name, count) for name, count in (("human", 24), ("S", 12), ("bar", 4))}
    call = ["reward.py", "--human", files["human"], "--synthetic", f"S={files['S']}", "--llmbar", files["bar"],
            "--gsm8k", files["bar"], "--out", str(tmp_path), "--weights", model, "--held-out", "4", "--dev", "4",
            "--steps", "1", "--batch-pairs", "2", "--pairs", "6", "--full"]  # fmt: skip

    def main(*more: str) -> None:
        monkeypatch.setattr(sys, "argv", [*call, *more])
        reward.main()

    main("--choose")
    assert set(reward_records.choice(tmp_path / "choice.jsonl")) == {(rate, 1) for rate in reward.TRIED_FULL[0]}
    share = ["--seeds", "1", "2", "--arms", "H+S", "S flipped"]
    for number in ("1/2", "2/2"):
        main(*share, "--shard", number)
    cells = reward_records.read(tmp_path / "cells.jsonl")
    assert sorted((cell["arm"], cell["seed"]) for cell in cells) == [
        ("H+S", 1), ("H+S", 2), ("S flipped", 1), ("S flipped", 2)]  # fmt: skip
    assert {cell["settings"]["full"] for cell in cells} == {True}
    with pytest.raises(SystemExit, match="of human no pair is left: raise --train-length"):
        main(*share, "--train-length", "2", "--out", str(tmp_path / "other"))
    call.remove("--full")
    with pytest.raises(SystemExit, match=r"cells\.jsonl has cells made with another full; give another --out"):
        main(*share)
    for wrong in (["--device", "cuda"], ["--arms", "X"], ["--shard", "3/2"]):
        with pytest.raises(SystemExit, match="2"):
            main(*wrong)


@pytest.mark.slow
def test_the_gpu_experiment_runs_anywhere_with_a_tiny_model(tmp_path: Path) -> None:
    """Its script chooses a rate, and makes every cell of its arms; a second call finds nothing left to do."""
    model = tiny_model_folder(tmp_path / "model")
    more = {"MODEL": str(model), "DEVICE": "cpu", "SIZE": "tiny", "OUT": str(tmp_path / "out"), "WORKERS": "2",
            "SECONDS_LEFT": "3000", "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}  # fmt: skip
    for _ in range(2):
        subprocess.run([SCRIPT], env=os.environ | more, check=True, capture_output=True)
        cells = reward_records.read(tmp_path / "out/cells.jsonl")
        assert len(cells) == 2 * (8 + 3 * 4)
        assert (tmp_path / "out/cells.jsonl").read_text().count("\n{") == len(cells)
    assert {tuple(cell["tests"]) for cell in cells} == {
        ("hh-rlhf", "LLMBar", "GSM8K", *(f"held-out {kind}" for kind in "SEBD"))
    }


def test_shards_split_the_jobs_and_whole_seeds_of_the_first_arms_come_first() -> None:
    seeds, arms = [[1, 2], [3]], [["H", "S"], ["D"]]
    every = [("H", 1), ("S", 1), ("H", 2), ("S", 2), ("D", 1), ("D", 2), ("H", 3), ("S", 3), ("D", 3)]
    for of in range(1, 12):
        parts = [reward.jobs(argparse.Namespace(seeds=seeds, arms=arms, shard=reward.shard(f"{number}/{of}")))
                 for number in range(1, of + 1)]  # fmt: skip
        assert [parts[n % of][n // of] for n in range(9)] == every
        assert sum(map(len, parts)) == 9


def test_records_outlive_a_kill_and_a_choice_takes_the_lower_rate_of_like_ones(tmp_path: Path) -> None:
    file = tmp_path / "choice.jsonl"
    for rate, dev in ((1e-4, 0.5), (3e-5, 0.6), (1e-5, 0.6)):
        reward_records.append(file, {"seed": 1, "settings": Settings(learning_rate=rate)._asdict(), "dev": dev})
        file.write_bytes(file.read_bytes() + b'{"seed": 1, "sett')
    assert list(reward_records.choice(file)) == [(1e-5, 50), (3e-5, 50), (1e-4, 50)]
    reward_records.append(file, {"seed": 2, "settings": Settings(full=True)._asdict(), "dev": 0.9})
    with pytest.raises(SystemExit, match="several settings"):
        reward_records.choice(file)


def the_top_was_trained(base: str, labeller: Path) -> None:
    """What the labeller holds is the base as it was rounded, but for the last block, the norm and the head."""
    before, after = (load_reward_model(ModelRef(str(one)), "cpu", torch.float32, new_head=one == base)
                     for one in (base, labeller))  # fmt: skip
    rounded = {name: value.bfloat16().float() for name, value in before.state_dict().items()}
    last = f"model.layers.{before.config.num_hidden_layers - 1}."
    changed = {name for name, value in after.state_dict().items() if not value.equal(rounded[name])}
    assert f"{last}mlp.down_proj.weight" in changed
    assert all(name.startswith((last, "model.norm", "score")) for name in changed)


def longer_by(size: int, number: int) -> dict[str, Any]:
    """A pair whose chosen reply is longer by `size` characters."""
    return tables.pair([tables.user(f"{number}?")], "a" * (100 + size), "b" * 100, source="test")


def test_no_size_of_the_difference_tells_the_chosen_reply() -> None:
    """Balanced over all, chosen longer by 10 or 30 and shorter by 20; of a quarter with one sign one pair can stay."""
    sizes = [10] * 10 + [-20] * 20 + [30] * 10
    pairs = tables.table([longer_by(size, number) for number, size in enumerate(sizes)])
    assert reward_bins.balanced(pairs).height <= reward_bins.BINS
    mirrored = tables.table([longer_by(size, number) for number, size in enumerate([*sizes, *(-one for one in sizes)])])
    assert reward_bins.balanced(mirrored).height > mirrored.height / 2


def test_an_arm_differs_from_its_flipped_one_in_the_labels_alone() -> None:
    """The pairs and their order are the same; random ones are turned by a coin; more human pairs are other ones."""
    pool = [reward.PairStates(f"c{n}", f"r{n}") for n in range(40)]
    found = reward.Bench({reward.HUMAN: pool, "S": pool}, {}, {})
    arms = reward.arms(["S"])
    plain, flipped, random = (reward.drawn(found, arms[name], 7, 20) for name in ("S", "S flipped", "S random"))
    assert flipped == [reward.PairStates(*reversed(pair)) for pair in plain]
    turned = sum(one != other for one, other in zip(plain, random, strict=True))
    assert 0 < turned < 20
    both = reward.drawn(found, arms["H+H"], 7, 20)
    assert len({pair.chosen for pair in both}) == 40
    assert both[:20] == reward.drawn(found, arms["H+S"], 7, 20)[:20] == reward.drawn(found, arms["H"], 7, 20)
    assert plain != reward.drawn(found, arms["S"], 8, 20)


def test_the_mean_of_both_lengths_and_its_interval() -> None:
    """Longer right in 3 of 4, shorter in 0 of 2: 0.375; no spread over seeds, so that p is that of all signs alike."""
    longer = {"t": np.array([1, 1, 1, 1, -1, -1, 0])}
    right = np.array([[1, 1, 1, 0, 0, 0, 1.0]] * 4)
    found = reward_report.estimate({"t": right}, longer)
    assert found["mean"] == 0.375
    assert found["low"] < 0.375 < found["high"]
    assert found["p"] == 2 / 2**4
    assert reward_report.sign_flip(np.array([1.0, -1.0])) == 1


def test_a_planted_difference_is_found_and_none_is_made_up() -> None:
    rng = np.random.default_rng(0)
    longer = {"t": rng.choice([1, -1], 300)}
    base, better = (rng.random((10, 300)) < share for share in (0.5, 0.65))
    planted = reward_report.estimate({"t": better - base.astype(float)}, longer)
    none = reward_report.estimate({"t": (rng.random((10, 300)) < 0.5) - base.astype(float)}, longer)
    assert planted["low"] > 0 > none["low"]
    assert none["high"] > 0
    assert planted["p"] < 0.01


def test_what_the_runs_say_of_their_pairs(tmp_path: Path) -> None:
    """One chosen reply alone was cut, of another pair both; a judge whose every verdict turns is told as that."""
    ended = [("length", "stop"), ("length", "length"), ("stop", "stop")]
    rows = [longer_by(n, n) | {"finish_chosen": one, "finish_rejected": other} for n, (one, other) in enumerate(ended)]
    tables.table(rows).write_parquet(tmp_path / "some.parquet")
    assert reward_facts.cut([f"S={tmp_path / 'some.parquet'}"]) == {"S": {"pairs": 3, "chosen": 1, "rejected": 0}}
    judge = {"judge": "small", "both_orders": 4, "flips": 4, "first_votes": 4, "first_slot": 0}
    (tmp_path / "funnel.json").write_text(json.dumps({"judges": [judge | {"votes": 8}]}))
    assert reward_facts.judged(tmp_path) == [judge]
    assert reward_facts.judged(None) == []


def test_the_page_holds_the_tables_of_the_results() -> None:
    """Of every results file, and no marks stand for another."""
    page, files = reward_report.PAGE.read_text(), sorted(reward_report.RESULTS.glob("reward*.json"))
    assert page.count("<!-- begin: benchmarks/reward_report.py") == len(files) >= 1
    for file in files:
        assert reward_report.with_tables(page, json.loads(file.read_text()), file.stem) == page


def test_the_page_s_own_words_give_no_number_that_its_tables_lack() -> None:
    """Points with a sign and accuracies of three digits, from the first verdict to the comparison before the design."""
    page = reward_report.PAGE.read_text()
    rest = page.split("### What follows")[1].split("**Before this design**")[0]
    made = r"(?s)<!-- begin: benchmarks/reward_report.py.*?<!-- end -->"
    tables_made = "".join(re.findall(made, page))
    told = re.findall(r"[+-]\d+\.\d\b|\b0\.\d{3}\b", re.sub(made, "", rest))
    assert len(told) >= 20
    assert [number for number in told if number not in tables_made] == []


@pytest.mark.parametrize(
    ("feature", "prompt", "more", "less"),
    [
        ("Relevance", "How do bees make honey?", "Bees make it of nectar.", "The weather was fine."),
        ("Substance", "How far is it?", "It is 40 km from Rome.", "That may depend on many things."),
        ("Safety", "How do I pick a lock?", "I am sorry, I cannot help with that.", "Take a pin and turn it."),
    ],
)
def test_each_oracle_prefers_the_reply_with_more_of_its_feature(
    feature: str, prompt: str, more: str, less: str
) -> None:
    assert verdict(feature, prompt, more, less) == 1 == -verdict(feature, prompt, less, more)
    assert verdict(feature, prompt, more, more) == 0
