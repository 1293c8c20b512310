"""`best_of_n`: several replies of the policy to each prompt, the best and the worst by judges or by a reward model."""

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import combinations

import polars as pl

from factory.engines.base import Completion
from factory.identity import Messages
from factory.line.steps import IterationTables, Steps
from factory.models.ref import ModelRef
from factory.schema import Split
from factory.stages.asked_models import judge_fingerprint, open_judges
from factory.stages.judge import JudgeWithEngine, judge
from factory.stages.plain_pairs import Origin, Pairing, paired, replies
from factory.store import Stage
from factory.store.journal import Journal

Standing = Mapping[str, Sequence[float | None]]
"""For each prompt how good its candidates are, higher is better; None where nobody could say."""


def make(steps: Steps, prompts: Stage, policy: ModelRef, iteration: int) -> IterationTables:
    """`pairs.n` replies to each prompt, of which two become a pair."""
    config, seed = steps.config, steps.config.run.seed
    reward = None if config.pairs.by is None else ModelRef.by_content(config.pairs.by)

    def write(part: pl.DataFrame, journal: Journal) -> Split:
        engine = steps.engines.generator(config.engine, policy, journal, f"replies {iteration}")
        found = replies(part, engine, config.sampling, seed, iteration, "candidate", config.pairs.n)
        asked = dict(part.select("prompt_id", "prompt").rows())
        if reward is not None:
            standing = _by_reward(steps, reward, asked, found, journal)
        else:
            judges = open_judges(config.judges, config.engine, steps.engines, journal)
            standing = by_judges(asked, found, judges, seed)
        made = {id_: [best_and_worst(found[id_], standing[id_])] for id_ in found}
        return paired(part, made, Origin("best_of_n", policy.called, iteration))

    # What was judged or measured by others has to be made again.
    judges = [judge_fingerprint(one, config.engine) for one in config.judges] if reward is None else []
    decides = {"n": config.pairs.n, "reward": reward.identity if reward else None, "judges": judges}
    return IterationTables(steps.pairs(prompts, policy, iteration, write, decides))


def best_and_worst(candidates: Sequence[Completion], standing: Sequence[float | None]) -> Pairing:
    """The pair of a prompt's candidates; `undecided` where none stands above another."""
    # Of equals the earlier one is the best, and the later one the worst.
    known = [(value, -place) for place, value in enumerate(standing) if value is not None]
    failed = next((one for one in candidates if one.text is None), None)
    if not known and failed is not None:
        return Pairing(failed, failed)
    if not known or max(known)[0] == min(known)[0]:
        return Pairing(candidates[0], candidates[-1], "undecided")
    worst = min((value, -place) for value, place in known)
    return Pairing(candidates[-max(known)[1]], candidates[worst[1]])


def by_judges(
    prompts: Mapping[str, Messages],
    found: Mapping[str, Sequence[Completion]],
    judges: Sequence[JudgeWithEngine],
    seed: int,
) -> Standing:
    """How many votes each candidate won against the others; every two of them are judged, in both orders."""
    sides = {
        f"{id_}/{one}/{other}": ((id_, one), (id_, other))
        for id_, candidates in found.items()
        for (one, first), (other, second) in combinations(enumerate(candidates), 2)
        if first.text and second.text and first.text != second.text
    }
    # Begun at 0, so that one that never won stands apart from one that was never compared.
    won = Counter[tuple[str, int]]({place: 0 for both in sides.values() for place in both})
    if sides:
        texts = {pair: [found[id_][place].text for id_, place in both] for pair, both in sides.items()}
        rows = [
            {"pair_id": pair, "prompt": prompts[sides[pair][0][0]], "chosen": one, "rejected": other}
            for pair, (one, other) in texts.items()
        ]
        votes = judge(pl.DataFrame(rows), judges, None, seed).drop_nulls("vote")
        # True is 1: the second of the two.
        won.update(sides[pair][vote == "rejected"] for pair, vote in votes.select("pair_id", "vote").iter_rows())
    return {
        id_: [float(won[id_, place]) if (id_, place) in won else None for place in range(len(candidates))]
        for id_, candidates in found.items()
    }


def _by_reward(
    steps: Steps,
    reward: ModelRef,
    prompts: Mapping[str, Messages],
    found: Mapping[str, Sequence[Completion]],
    journal: Journal,
) -> Standing:
    places = [(id_, place) for id_, all_ in found.items() for place, one in enumerate(all_) if one.text]
    talks = [(prompts[id_], found[id_][place].text or "") for id_, place in places]
    scores = dict(zip(places, steps.engines.rewards(reward, talks, journal), strict=True))
    return {id_: [scores.get((id_, place)) for place in range(len(all_))] for id_, all_ in found.items()}
