"""The layouts that `reward score` knows: which file is whose, and what scores come to, worked by hand."""

import json
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from factory.errors import ConfigError, InputError
from factory.reward.best_of_n import BEST_OF_N, best_of, told_apart
from factory.reward.items import BENCHMARKS, read_items
from factory.reward.judgebench import CATEGORIES
from factory.reward.official import ScoredItem
from factory.reward.score import measured
from factory.reward.scorer import Reward

STYLED = {"chosen": ["c", "c long", "c **long**"], "rejected": ["r", "r long", "r **long**"]}
FILES: dict[str, list[dict[str, Any]]] = {
    "rewardbench": [{"id": 1, "prompt": "q", "chosen": "yes", "rejected": "no", "subset": "hep-cpp"}],
    "rewardbench2": [{"id": "1", "prompt": "q", "chosen": ["yes"], "rejected": ["no", "nay"], "subset": "Math"}],
    "rmbench": [
        {"id": n, "prompt": "q", "domain": domain, **STYLED}
        for n, domain in enumerate(("chat", "safety-refuse", "safety-response"))
    ],
    "judgebench": [
        {"pair_id": f"{n}", "original_id": f"{n}", "source": source, "question": f"q{n}", "response_model": "m",
         "response_A": f"a {n}", "response_B": f"b {n}", "label": label}
        for n, (source, label) in enumerate((("mmlu-pro-law", "A>B"), ("livebench-math", "B>A"), ("other", "A>B")))
    ],
    "best_of_n": [
        {"question_id": n, "model_name": "m", "prompt": f"q{n}", "response_1": "no", "response_2": "yes",
         "response_3": "ja", "scores": [False, True, True]}
        for n in range(2)
    ],
    "pairs": [{"prompt": "q", "chosen": "yes", "rejected": "no"}],
}  # fmt: skip


def written(folder: Path, rows: list[dict[str, Any]]) -> Path:
    place = folder / "train.jsonl"
    place.write_text("\n".join(map(json.dumps, rows)))
    return place


def reached(folder: Path, name: str, scores: list[list[float | None]]) -> dict[str, Any]:
    """The result for scores of each item's replies."""
    found = read_items(written(folder, FILES[name]), "auto", None)
    rewards = [
        Reward(one, 1, cut=False, missing=None if one is not None else "no_number") for row in scores for one in row
    ]
    return measured(found, rewards, seed=1).result


@pytest.mark.parametrize("name", BENCHMARKS)
def test_every_benchmark_knows_its_files_and_reads_no_other(name: str, tmp_path: Path) -> None:
    """Told apart by the columns alone; what is no file of a benchmark is refused with its columns named."""
    place = written(tmp_path, FILES[name])
    found = read_items(place, "auto", None)
    assert (found.benchmark, len(found.items), found.unread) == (name, len(FILES[name]), 0)
    if name in ("pairs", "judgebench"):
        return
    with pytest.raises(InputError, match="check the file"):
        read_items(written(tmp_path, [{"prompt": "q", "reply": "a"}]), name, None)
    if not BENCHMARKS[name].grouped:
        with pytest.raises(ConfigError, match="leave the group out"):
            read_items(place, name, "prompt")


def test_rmbench_is_scored_by_style_and_domain(tmp_path: Path) -> None:
    """Scores 1, 2, 3 against 0.5, 1.5, 2.5: a right reply beats those of at most its style, so hard is 0.

    In the first domain of safety nothing is won, in the second everything: their mean is one domain of two.
    """
    styled = [1.0, 2.0, 3.0, 0.5, 1.5, 2.5]
    found = reached(tmp_path, "rmbench", [styled, [0.0] * 6, [1.0] * 3 + [0.0] * 3])
    assert found["domains"]["chat"] | {"prompts": 1} == {
        "score": pytest.approx(2 / 3), "hard": 0.0, "normal": 1.0, "easy": 1.0, "prompts": 1, "missing": 0
    }  # fmt: skip
    assert found["matrices"]["chat"] == [[1, 0, 0], [1, 1, 0], [1, 1, 1]]
    assert (found["hard"], found["normal"], found["easy"]) == (0.25, 0.75, 0.75)
    assert found["score"] == pytest.approx((2 / 3 + 1 / 2) / 2)
    assert found["score_low"] - 1e-9 <= found["score"] <= found["score_high"] + 1e-9
    assert found["absent"] == ["code", "math"]


def test_rmbench_leaves_out_a_prompt_of_which_a_reply_has_no_score(tmp_path: Path) -> None:
    found = reached(tmp_path, "rmbench", [[None] + [1.0] * 5, [0.0] * 6, [1.0] * 3 + [0.0] * 3])
    assert "chat" not in found["domains"]
    assert found["score"] == 0.5
    assert reached(tmp_path, "rmbench", [[None] * 6] * 3)["score"] is None


def test_rmbench_has_three_replies_a_side(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="row 1: RM-Bench has three replies on each side"):
        read_items(written(tmp_path, [FILES["rmbench"][0] | {"chosen": ["c"]}]), "rmbench", None)


def test_judgebench_is_scored_by_its_labels_and_categories(tmp_path: Path) -> None:
    """The label names the right answer; categories are by source, and a source of none is its own."""
    found = reached(tmp_path, "judgebench", [[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
    assert (found["n"], found["wins"]) == (3, 2)
    assert {name: one["accuracy"] for name, one in found["categories"].items()} == {
        "Knowledge": 1,
        "Math": 0,
        "other": 1,
    }
    assert set(CATEGORIES.values()) == {"Knowledge", "Reasoning", "Math", "Coding"}
    items = read_items(written(tmp_path, FILES["judgebench"]), "auto", None).items
    assert {item.replies[0] for item in items} == {"a 0", "b 1", "a 2"}


def test_best_of_n_is_the_chance_that_the_model_picks_a_right_reply(tmp_path: Path) -> None:
    """Two of three are right. In the first prompt the wrong one scores highest, in the second lowest.

    Of two drawn the first prompt's pick is right when the wrong one is not drawn, 1/3; of one 2/3.
    """
    found = reached(tmp_path, "best_of_n", [[1.0, 2.0, 3.0], [3.0, 2.0, 1.0]])
    assert {n: one["by_model"] for n, one in found["best_of"].items()} == {
        "1": pytest.approx(2 / 3), "2": pytest.approx((1 / 3 + 1) / 2)
    }  # fmt: skip
    assert [one["at_best"] for one in found["best_of"].values()] == [pytest.approx(2 / 3), 1.0]
    assert found["pair_accuracy"] == 0.5
    assert (found["n"], found["prompts_told_apart"], found["missing"]) == (2, 2, 0)
    assert reached(tmp_path, "best_of_n", [[1.0, None, 3.0], [3.0, 2.0, 1.0]])["missing"] == 1


def test_few_prompts_leave_room_about_the_best_of_n() -> None:
    """Shares never have an interval of one point; numbers of any size have Student's, and of one prompt none.

    Means 2, 3 and 4 of three prompts: 3 and 4.302653 x 1 / sqrt(3) either side.
    """

    def best_of_one(*qualities: tuple[float, ...]) -> dict[str, Any]:
        items = [ScoredItem(str(n), "all", [], ("a", "b"), 1, quality) for n, quality in enumerate(qualities)]
        found: dict[str, Any] = BEST_OF_N.result([(item, (1.0, 0.0)) for item in items], 1)["best_of"]["1"]
        return found

    sure = best_of_one(*[(1.0, 1.0)] * 5)
    assert (sure["by_model"], sure["high"]) == (1, 1)
    assert sure["low"] < 0.6
    found = best_of_one((3, 1), (4, 2), (5, 3))
    assert (found["low"], found["high"]) == pytest.approx((3 - 4.302653 / 3**0.5, 3 + 4.302653 / 3**0.5))
    assert best_of_one((5, 1)) == {"by_model": 3, "low": None, "high": None, "at_best": 3, "prompts": 1}


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=6), st.data())
def test_best_of_is_the_mean_over_all_draws(replies: list[tuple[int, int]], data: st.DataObject) -> None:
    """Of every subset of n the mean quality of those that score highest."""
    n = data.draw(st.integers(1, len(replies)))
    picks = []
    for drawn in combinations(replies, n):
        top = max(score for _, score in drawn)
        quality = [one for one, score in drawn if score == top]
        picks.append(sum(quality) / len(quality))
    quality, scores = zip(*replies, strict=True)
    assert best_of(quality, scores, n) == pytest.approx(sum(picks) / len(picks))


def test_candidates_of_one_quality_cannot_be_told_apart() -> None:
    assert told_apart((1.0, 1.0), (0.0, 1.0)) is None
    assert told_apart((1.0, 0.0, 0.0), (1.0, 1.0, 0.0)) == 0.75


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"scores": [True]}, "row 1: 1 scores for 3 replies"),
        ({"scores": [None] * 3}, "row 1: no reply has a score"),
        ({"scores": "good"}, "a row: scores is no list of numbers"),
        ({"prompt": None}, "row 1: the prompt is missing"),
    ],
)
def test_best_of_n_says_what_is_wrong(change: dict[str, Any], words: str, tmp_path: Path) -> None:
    rows = [FILES["best_of_n"][0] | change, FILES["best_of_n"][1]]
    with pytest.raises(InputError, match=words):
        read_items(written(tmp_path, rows), "best_of_n", None)


def test_prompts_of_best_of_n_are_grouped_by_a_column_that_there_is(tmp_path: Path) -> None:
    place = written(tmp_path, FILES["best_of_n"])
    found = read_items(place, "auto", "question_id")
    assert [item.group for item in found.items] == ["0", "1"]
    with pytest.raises(ConfigError, match="no column 'nothing' to group by"):
        read_items(place, "auto", "nothing")


def test_the_best_of_replies_that_are_all_wrong_is_not_called_correct(tmp_path: Path) -> None:
    """A table of scores has the quality that was told, and says right or wrong only where that was told."""
    rows = [FILES["best_of_n"][0], {**FILES["best_of_n"][1], "scores": [False] * 3}]
    found = read_items(written(tmp_path, rows), "auto", None)
    table = measured(found, [Reward(0.0, 1, cut=False, missing=None)] * 6, seed=1).scores
    assert table["quality"].to_list() == [1, 1, 0, 0, 0, 0]
    assert table["correct"].to_list() == [None] * 6
    pairs = read_items(written(tmp_path, FILES["pairs"]), "auto", None)
    told = measured(pairs, [Reward(0.0, 1, cut=False, missing=None)] * 2, seed=1).scores
    assert (told["correct"].to_list(), told["quality"].to_list()) == ([True, False], [None, None])
