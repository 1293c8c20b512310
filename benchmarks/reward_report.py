"""What the cells of benchmarks/reward.py come to: results as JSON, and the tables of docs/reward.md made from them.

    python benchmarks/reward_report.py --cells DIR/cells.jsonl --runs RUN --judged FILTERED     results/reward.json anew
    python benchmarks/reward_report.py                                                          docs/reward.md from it
    python benchmarks/reward_report.py --name reward_full ...           of another results file, between its own marks

An accuracy is the mean of two: over pairs whose right reply is the longer one, and over those where it is the shorter
one. "All" is the plain mean over hh-rlhf, LLMBar and GSM8K. Intervals resample seeds and, within test and stratum,
pairs; p is of a sign-flip test over seeds.
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).parent.parent
sys.path[0] = str(ROOT)

from benchmarks import reward_records
from benchmarks.reward_facts import complete, cut, followed, judged
from benchmarks.reward_records import Settings
from factory.statistics.shares import wilson
from factory.store import write_json

RESULTS, PAGE = ROOT / "benchmarks" / "results", ROOT / "docs" / "reward.md"
NAME, END = "reward", "<!-- end -->"
TESTS = ("hh-rlhf", "LLMBar", "GSM8K")
HELD_OUT, LEVERS = "held-out ", ("E", "F", "B")
ORDER = ("H", "H+H", "H flipped", "T", *(f"{arm}{name}{labels}" for name in ("S", "D", *LEVERS) for arm in ("H+", "")
         for labels in ("", " flipped", " random")))  # fmt: skip
CONTRASTS = (
    ("H+S", "H+S flipped"),
    ("S", "S flipped"),
    ("H+S", "H"),
    ("H+H", "H"),
    ("H+S", "H+S random"),
    ("H+H", "H+S"),
    ("H", "H flipped"),
    ("H+D", "H+D flipped"),
    ("D", "D flipped"),
    ("H+D", "H"),
    *(
        both
        for one in LEVERS
        for both in ((f"H+{one}", f"H+{one} flipped"), (one, f"{one} flipped"), (f"H+{one}", "H"))
    ),
    ("H+E", "H+S"),
)
"""The first two ask the primary question. S are pairs by principles, D by a weaker model; see docs/reward.md."""
DRAWS = 4000
Right = NDArray[np.float64]


class Cells(NamedTuple):
    """The cells that are there."""

    right: dict[str, dict[str, dict[int, Right]]]
    """By arm, test and seed: for each pair of the test 1 where the chosen reply scores higher, else 0."""
    longer: dict[str, NDArray[np.int64]]
    """By test: 1, -1 or 0 for each pair, by which reply is longer."""
    facts: dict[str, dict[str, Any]]
    """By arm: pairs, and how many of its own training pairs it has right, mean over seeds."""
    settings: dict[str, Any]


def read(place: Path) -> Cells:
    """Every cell of a file or folder. ValueError when they were not made with the same settings and tests."""
    right: dict[str, dict[str, dict[int, Right]]] = {}
    longer: dict[str, NDArray[np.int64]] = {}
    known: dict[str, list[tuple[int, float]]] = {}
    settings: dict[str, Any] = {}
    for cell in reward_records.read(place):
        its, name = Settings(**cell["settings"])._asdict(), f"{cell['arm']} {cell['seed']}"
        settings = settings or its
        if settings != its:
            raise ValueError(f"{place}: {name} was made with other settings")
        known.setdefault(cell["arm"], []).append((cell["pairs"], float(np.mean(np.array(cell["training"]) > 0))))
        for kind, test in cell["tests"].items():
            ways = longer.setdefault(kind, np.array(test["longer"]))
            if not np.array_equal(ways, test["longer"]):
                raise ValueError(f"{place}: {name} was measured on other pairs of {kind}")
            won = (np.array(test["margins"]) > 0).astype(np.float64)
            right.setdefault(cell["arm"], {}).setdefault(kind, {})[cell["seed"]] = won
    facts = {
        arm: {"pairs": found[0][0], "seeds": len(found), "training": float(np.mean([share for _, share in found]))}
        for arm, found in known.items()
    }
    return Cells(right, longer, facts, settings)


def strata(longer: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Numbers of the pairs whose chosen reply is longer, and of those where it is shorter; what is empty is none."""
    return [place for side in (1, -1) if len(place := np.flatnonzero(longer == side))]


def balanced(right: Right, longer: NDArray[np.int64]) -> Right:
    """Mean over strata of right [seeds, pairs]: [seeds]."""
    found: Right = np.mean([right[:, place].mean(axis=1) for place in strata(longer)], axis=0)
    return found


def stacked(cells: Cells, arm: str, test: str, seeds: Sequence[int]) -> Right:
    """[seeds, pairs] of one arm and test."""
    return np.array([cells.right[arm][test][seed] for seed in seeds])


def estimate(parts: Mapping[str, Right], longer: Mapping[str, NDArray[np.int64]], seed: int = 0) -> dict[str, Any]:
    """Mean over tests of the balanced mean of values [seeds, pairs], its interval and p of no difference from 0."""
    by_seed = np.mean([balanced(values, longer[test]) for test, values in parts.items()], axis=0)
    rng, n = np.random.default_rng(seed), len(by_seed)
    weights = rng.multinomial(n, np.full(n, 1 / n), DRAWS) / n
    drawn = np.zeros(DRAWS)
    for test, values in parts.items():
        groups = strata(longer[test])
        for place in groups:
            size = len(place)
            counts = rng.multinomial(size, np.full(size, 1 / size), DRAWS) / size
            drawn += ((weights @ values[:, place]) * counts).sum(axis=1) / len(groups) / len(parts)
    low, high = np.quantile(drawn, [0.025, 0.975])
    return {"mean": float(by_seed.mean()), "low": float(low), "high": float(high), "seeds": n, "p": sign_flip(by_seed)}


def sign_flip(values: Right) -> float:
    """How often a mean with random signs is at least as far from 0: all signs up to 14 seeds, else 20,000 draws."""
    n = len(values)
    signs = np.array(list(product((1, -1), repeat=n))) if n <= 14 else (
        np.random.default_rng(1).integers(0, 2, (20_000, n)) * 2 - 1
    )  # fmt: skip
    return float(np.mean(np.abs(signs @ values) >= abs(values.sum()) - 1e-12))


def results(cells: Cells) -> dict[str, Any]:
    """Everything that the page says of the cells."""
    arms = {}
    for arm, tests in sorted(cells.right.items(), key=lambda one: ORDER.index(one[0])):
        seeds = sorted(tests[TESTS[0]])
        own = {test: stacked(cells, arm, test, seeds) for test in tests}
        arms[arm] = {
            **cells.facts[arm],
            # Its p would be that of an accuracy of 0.
            "all": {
                key: value
                for key, value in estimate({test: own[test] for test in TESTS}, cells.longer).items()
                if key != "p"
            },
            "tests": {test: float(balanced(own[test], cells.longer[test]).mean()) for test in own},
            "accuracy": {test: float(own[test].mean()) for test in own},
            "by_seed": {
                test: dict(zip(map(str, seeds), balanced(own[test], cells.longer[test]).tolist(), strict=True))
                for test in own
            },
        }
    named = [*TESTS, *sorted(set(cells.longer) - set(TESTS))]
    sizes = {test: {"pairs": len(ways := cells.longer[test]), "longer": float(np.mean(ways == 1)),
                    "shorter": float(np.mean(ways == -1))} for test in named}  # fmt: skip
    contrasts = [contrast(cells, *both) for both in CONTRASTS if all(arm in cells.right for arm in both)]
    return {"settings": cells.settings, "tests": sizes, "arms": arms, "contrasts": contrasts}


def contrast(cells: Cells, one: str, other: str) -> dict[str, Any]:
    """One arm less another, over the seeds that both have."""
    seeds = sorted(set(cells.right[one][TESTS[0]]) & set(cells.right[other][TESTS[0]]))
    apart = {test: stacked(cells, one, test, seeds) - stacked(cells, other, test, seeds)
             for test in cells.right[one] if test in cells.right[other]}  # fmt: skip
    each = {test: estimate({test: values}, cells.longer) for test, values in apart.items()}
    return {"one": one, "other": other, "all": estimate({t: apart[t] for t in TESTS}, cells.longer), "tests": each}


def own(arm: str, tests: Mapping[str, Any]) -> str | None:
    """The test of held-out pairs of an arm's own kind, where it has one."""
    name = HELD_OUT + arm.removeprefix("H+").split()[0]
    return name if name in tests else None


def tables(found: Mapping[str, Any]) -> str:
    """The tables of the page."""
    lines = ["| test | pairs | always longer | always shorter |", "|---|--:|--:|--:|"]
    lines += [f"| {name} | {one['pairs']} | {one['longer']:.3f} | {one['shorter']:.3f} |"
              for name, one in found["tests"].items()]  # fmt: skip
    lines += [
        "",
        f"| trained on | pairs | seeds | {' | '.join(TESTS)} | all | 95 % | held-out pairs of its kind | own pairs |",
    ]
    lines += ["|---" + "|--:" * (2 + len(TESTS) + 1) + "|---|--:|--:|"]
    for arm, one in found["arms"].items():
        each = " | ".join(f"{one['tests'][test]:.3f}" for test in TESTS)
        held = f"{one['tests'][kind]:.3f}" if (kind := own(arm, one["tests"])) else "–"
        every = f"{one['all']['mean']:.3f} | {one['all']['low']:.3f} to {one['all']['high']:.3f}"
        lines.append(f"| {arm} | {one['pairs']} | {one['seeds']} | {each} | {every} | {held} | {one['training']:.3f} |")
    lines += ["", *turned_rows(found), "", *contrast_rows(found)]
    if found.get("followed"):
        lines += ["", "| feature | pairs | n | more in chosen | less | share | 95 % |"]
        lines += ["|---|---|--:|--:|--:|--:|---|"]
        lines += [oracle_row(name, state, one) for name, states in found["followed"].items()
                  for state, one in states.items()]  # fmt: skip
        made = found["complete"]
        lines += ["", f"Of {made['pairs']} pairs that were made {made['complete']} have two complete replies."]
    if found.get("cut"):
        lines += ["", "| kept pairs of | pairs | chosen alone cut at the limit | rejected alone |", "|---|--:|--:|--:|"]
        lines += [f"| {name} | {' | '.join(map(str, one.values()))} |" for name, one in found["cut"].items()]
    if found.get("judged"):
        lines += [
            "",
            "| judge | pairs asked in both orders | verdict turned with it | first votes for the first shown |",
        ]
        lines += ["|---|--:|--:|--:|"]
        lines += [f"| {one['judge']} | {one['both_orders']} | {one['flips']} | {one['first_slot']} of "
                  f"{one['first_votes']} |" for one in found["judged"]]  # fmt: skip
    return "\n".join(lines)


def turned_rows(found: Mapping[str, Any]) -> list[str]:
    """The table of what every label turned round would cost an arm of one kind of pairs: twice what it is above 0.5.

    To turn all labels is to turn the head's sign: from the head -w the same steps lead to the same weights with the
    other head. -w is as likely a draw as w, so that an accuracy of a is expected to become 1 - a.
    """
    lines = [
        f"| less itself with all labels turned round, by symmetry, in points | seeds | {' | '.join(TESTS)} | all |"
    ]
    lines.append("|---" + "|--:" * (1 + len(TESTS)) + "|---|")
    for arm, one in found["arms"].items():
        if not {"+", " "} & set(arm):
            each = " | ".join(f"{200 * one['tests'][test] - 100:+.1f}" for test in TESTS)
            every = points({key: 2 * value - 1 for key, value in one["all"].items()})
            lines.append(f"| {arm} | {one['seeds']} | {each} | {every} |")
    return lines


def contrast_rows(found: Mapping[str, Any]) -> list[str]:
    """The table of differences."""
    heads = " | ".join((*TESTS, "all", "p, over seeds alone", "held-out pairs of its kind"))
    lines = [f"| difference, in points | seeds | {heads} |", "|---|--:" + "|---" * (len(TESTS) + 3) + "|"]
    for one in found["contrasts"]:
        kind = own(one["one"], one["tests"])
        columns = [points(one["tests"][test]) for test in TESTS]
        columns += [points(one["all"]), f"{one['all']['p']:.3f}", points(one["tests"][kind]) if kind else "–"]
        lines.append(f"| {one['one']} less {one['other']} | {one['all']['seeds']} | {' | '.join(columns)} |")
    return lines


def points(one: Mapping[str, float]) -> str:
    """An estimate in points, with its interval."""
    mean, low, high = (100 * one[key] for key in ("mean", "low", "high"))
    return f"{mean:+.1f} ({low:+.1f} to {high:+.1f})"


def oracle_row(name: str, state: str, one: Mapping[str, int]) -> str:
    """Of one feature."""
    decided = one["more"] + one["less"]
    low, high = wilson(one["more"], decided)
    share = f"{one['more'] / decided:.3f} | {low:.3f} to {high:.3f}" if decided else "– | –"
    return f"| {name} | {state} | {one['pairs']} | {one['more']} | {one['less']} | {share} |"


def mark(name: str) -> str:
    """What the tables of a results file stand behind."""
    return f"<!-- begin: benchmarks/reward_report.py{'' if name == NAME else f' --name {name}'} -->"


def with_tables(page: str, found: Mapping[str, Any], name: str = NAME) -> str:
    """The page with the tables between their marks. ValueError when it has none."""
    before, begin, rest = page.partition(mark(name))
    if not begin:
        raise ValueError(f"the page has no {mark(name)}")
    return f"{before}{begin}\n\n{tables(found)}\n\n{END}{rest.partition(END)[2]}"


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", type=Path, help="cells.jsonl, or a folder with a JSON file a cell")
    parser.add_argument("--name", default=NAME, help="of the results file, and of its marks in the page")
    parser.add_argument("--runs", type=Path, nargs="*", default=[], help="runs that the synthetic pairs are of")
    parser.add_argument(
        "--kinds", nargs="*", default=[], metavar="NAME=RUN", help="runs or files of each kind of pairs"
    )
    parser.add_argument("--judged", type=Path, help="what `sso-factory filter` left of pairs judged in both orders")
    asked = parser.parse_args()
    file = RESULTS / f"{asked.name}.json"
    if asked.cells:
        more = {"followed": followed(asked.runs), "complete": complete(asked.runs)} if asked.runs else {}
        more |= {"cut": cut(asked.kinds), "judged": judged(asked.judged)}
        write_json(file, {**results(read(asked.cells)), **more})
    found = json.loads(file.read_text())
    PAGE.write_text(with_tables(PAGE.read_text(), found, asked.name))
    print(tables(found))


if __name__ == "__main__":
    main()
