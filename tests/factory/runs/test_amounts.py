"""Runs held against their forecasts: never above the bound, and within the range where a preview was measured."""

import random
from collections.abc import Callable
from pathlib import Path

import pytest

import factory
from factory.config import Config
from factory.config.pairs import PAIR_MAKERS
from factory.exports.facts.bill import WEAKER, Bill
from factory.runs.amounts import Amount, StagePlan
from factory.runs.forecast import Plan
from factory.runs.rates import Rates
from factory.terminal.show import plan as shown
from tests.factory.engines.api.test_money import ROOM, _environment, charged, config  # noqa: F401 - a fixture
from tests.factory.stages.test_worthless import many
from tests.loopback import Loopback, Seen, Spoken


def drawn(seen: Seen) -> random.Random:
    """The same for the same question, whatever came before."""
    return random.Random(str(sorted(seen.body["messages"][-1].items())) + str(seen.body.get("seed")))


def wordy(seen: Seen) -> Spoken:
    """Replies as long as they may be; judges that cannot be read half the time and follow the slot otherwise."""
    if seen.body["model"] == "writer":
        return Spoken(" ".join(f"{drawn(seen).random()}-{n}" for n in range(seen.body["max_completion_tokens"])))
    return Spoken("m" if drawn(seen).random() < 0.5 else "well, " * 16)


def usual(seen: Seen) -> Spoken:
    """Replies of 4 to 12 words; a judge that is unreadable one time in ten and prefers the chosen four in five."""
    dice = drawn(seen)
    if seen.body["model"] == "writer":
        return Spoken(" ".join(f"{dice.random():.6f}" for _ in range(dice.randint(4, ROOM))))
    return Spoken("so so" if dice.random() < 0.1 else "mM"[dice.random() < 0.2])


def judged(config: Config, frugal: bool) -> Config:
    judges = [judge.model_copy(update={"frugal": frugal}) for judge in config.judges]
    return config.model_copy(update={"judges": judges})


def held(found: Bill, planned: Plan) -> None:
    """Nobody took more than was said."""
    most = planned.total.most
    total = found.total
    assert total.requests <= most.requests
    assert total.prompt_tokens <= most.prompt_tokens
    assert total.completion_tokens <= most.completion_tokens
    assert (total.cost or 0.0) <= (most.cost or 0.0)
    for row in (row for row in found.rows if row.name not in ("policy", WEAKER)):
        bound = next(stage.most for stage in planned.stages if stage.name == row.name)
        assert row.requests <= bound.requests
        assert (row.cost or 0.0) <= (bound.cost or 0.0)


@pytest.mark.parametrize(("answer", "frugal"), [(wordy, False), (usual, True)])
def test_no_run_takes_more_than_it_can(tmp_path: Path, answer: Callable[[Seen], Spoken], frugal: bool) -> None:
    with Loopback(answer) as server:
        settings = judged(config(tmp_path, server), frugal)
        planned = factory.plan(settings)
        assert server.log == []
        made = factory.run(settings, check=False)
        held(made.bill, planned)
        assert charged(server) > 0
    for stage in (*planned.stages, planned.total):
        for low, high in ((stage.low, stage.high), (stage.high, stage.most)):
            assert all((a or 0) <= (b or 0) for a, b in zip(low, high, strict=True)), stage.name


MAKERS = {"delta": {"weak": "writer"}, "best_of_n": {"n": 4}, "label_first": {}}


@pytest.mark.parametrize("maker", sorted(PAIR_MAKERS.keys() - {"principles"}))
def test_the_bound_holds_whatever_makes_the_pairs(tmp_path: Path, maker: str) -> None:
    """Judges of `best_of_n` compare every two of the candidates before they are asked about the pair."""
    with Loopback(usual) as server:
        raw = judged(config(tmp_path, server), False).model_dump()
        settings = many(Config.model_validate({**raw, "pairs": {"from": maker, **MAKERS[maker]}}), tmp_path, 24)
        planned = factory.plan(settings)
        factory.run(settings, preview=8, check=False)
        measured = factory.plan(settings)
        found = factory.run(settings, check=False).bill
    held(found, planned)
    held(found, measured)
    assert (WEAKER in [row.name for row in found.rows]) == (maker == "delta")
    assert measured.total.low.requests <= found.total.requests <= measured.total.high.requests
    assert all(stage.completion_tokens for stage in planned.stages), "something is received of everybody"


def test_rounds_of_a_target_are_in_the_bound(tmp_path: Path) -> None:
    with Loopback(usual) as server:
        raw = config(tmp_path, server).model_dump()
        raw["prompts"] |= {"target_pairs": 500, "per_round": 3}
        settings = Config.model_validate(raw)
        planned = factory.plan(settings)
        assert (planned.prompts, planned.further) == (3, 7)
        found = factory.run(settings, check=False).bill
    held(found, planned)
    assert found.rows[0].requests == 10 * 4, "all prompts were taken"


def test_after_a_preview_the_range_holds_the_run(tmp_path: Path) -> None:
    """Lengths, unreadable answers and votes are those of 15 prompts; the run has 60."""
    with Loopback(usual) as server:
        settings = many(judged(config(tmp_path, server), True), tmp_path)
        guessed = factory.plan(settings)
        factory.run(settings, preview=15, check=False)
        measured = factory.plan(settings)
        found = factory.run(settings, check=False).bill.total
    assert (guessed.measured, measured.measured) == (False, True)
    low, high, most = measured.total.low, measured.total.high, measured.total.most
    assert (low.cost or 0.0) <= (found.cost or 0.0) <= (high.cost or 0.0) <= (most.cost or 0.0)
    assert low.requests <= found.requests <= high.requests
    wide = (guessed.total.high.cost or 0.0) - (guessed.total.low.cost or 0.0)
    assert (high.cost or 0.0) - (low.cost or 0.0) < wide / 2
    assert "lengths and votes as measured before" in shown(measured)
    assert "guesses: replies of up to 300 tokens" in shown(guessed)


def further(planned: Plan) -> StagePlan:
    """The features of further rounds."""
    return next(stage for stage in planned.stages if stage.name == "features 2")


def test_a_measured_share_that_passes_says_how_many_rounds_a_target_takes(tmp_path: Path) -> None:
    with Loopback(usual) as server:
        raw = config(tmp_path, server).model_dump()
        raw["prompts"] |= {"target_pairs": 9, "per_round": 2}
        settings = many(Config.model_validate(raw), tmp_path)
        assert further(factory.plan(settings)).requests == 0, "nothing is known of how many pass"
        factory.run(settings, preview=10, check=False)
        rates = Rates.of(tmp_path / "run-preview")
        assert 0 < rates.kept <= rates.triples == 10
        rounds = further(factory.plan(settings))
        assert rounds.requests == pytest.approx(9 * 10 / rates.kept - 2, abs=1)


def test_no_amount_is_nothing() -> None:
    assert Amount().cost is None
    assert Amount(1, 2, 3).tokens == 5
