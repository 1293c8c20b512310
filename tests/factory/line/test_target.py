"""When drawing towards a target ends, and the sentence that says so."""

import pytest

from factory.config.prompts import Budget
from factory.line.rounds import Spent, TargetProgress

HALFWAY = TargetProgress(
    target=100,
    passed=50,
    without_gain=0,
    prompts=400,
    next_prompts=100,
    spent=Spent(requests=2000, tokens=800_000, cost=4.0),
)


def stopped(budget: dict[str, float] | None = None, **changed: object) -> str | None:
    return HALFWAY._replace(**changed).reason_to_stop(Budget(**(budget or {})))


def test_it_goes_on_while_pairs_are_wanting() -> None:
    assert stopped() is None


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"passed": 100}, "target_pairs is reached: 100 of 100 pairs pass after 400 prompts"),
        ({"passed": 140}, "target_pairs is reached: 140 of 100 pairs pass"),
        ({"next_prompts": 0}, "the prompts have run out: 50 of 100 pairs pass after 400 prompts"),
        ({"without_gain": 3}, "none of them from the last 3 rounds"),
    ],
)
def test_rounds_end_at_the_target_without_prompts_or_without_gain(changed: dict[str, int], words: str) -> None:
    assert words in (stopped(**changed) or "")


def test_two_barren_rounds_do_not_end_it() -> None:
    assert stopped(without_gain=2) is None


@pytest.mark.parametrize(("name", "fits"), [("requests", 2500), ("tokens", 1_000_000), ("cost", 5.0)])
def test_a_round_that_would_go_over_the_budget_is_not_begun(name: str, fits: float) -> None:
    """400 prompts used 2,000 requests, 800,000 tokens and 4.00; 100 more use a quarter of that again."""
    assert stopped({name: fits}) is None
    assert f"raise prompts.budget.{name}" in (stopped({name: fits - (0.01 if name == "cost" else 1)}) or "")


def test_use_is_summed_over_stages_and_askers() -> None:
    asker = {"requests": 3, "prompt_tokens": 10, "completion_tokens": 5, "cost": 0.5}
    used = [{"replies 1": asker}, {}, {"judge A": asker, "judge B": asker}]
    assert Spent.by(used) == Spent(9, 45, 1.5)
