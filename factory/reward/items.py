"""Which benchmark the files are of, and what of them is scored."""

from collections.abc import Mapping

from factory.errors import ConfigError
from factory.progress import Progress, Silent
from factory.readers import How, PairsLike
from factory.reward.any_pairs import PAIRS
from factory.reward.best_of_n import BEST_OF_N
from factory.reward.judgebench import JUDGEBENCH
from factory.reward.official import Benchmark, ItemsAsked, ScoredItems
from factory.reward.rewardbench import REWARDBENCH
from factory.reward.rewardbench2 import REWARDBENCH2
from factory.reward.rmbench import RMBENCH

AUTO = "auto"
BENCHMARKS: Mapping[str, Benchmark] = {
    "rewardbench": REWARDBENCH,
    "rewardbench2": REWARDBENCH2,
    "rmbench": RMBENCH,
    "judgebench": JUDGEBENCH,
    "best_of_n": BEST_OF_N,
    "pairs": PAIRS,
}
"""By name; `auto` takes the first whose files they are. All are pairs, so that pairs come last."""


def read_items(
    inputs: PairsLike,
    benchmark: str,
    group: str | None,
    how: How | None = None,
    progress: Progress | None = None,
) -> ScoredItems:
    """The items of `inputs`, in the layout of a benchmark's official files, or as pairs in any layout.

    `auto` tells by the columns; with a `group`, a column to count apart by, only what can be grouped. Raises InputError
    for a file that is not in the layout.
    """
    if benchmark not in (AUTO, *BENCHMARKS):
        raise ConfigError(f"benchmark {benchmark!r} is not known; take one of {', '.join((AUTO, *BENCHMARKS))}")
    asked = ItemsAsked(inputs, group, how or How(), progress or Silent())
    found = _guess(asked) if benchmark == AUTO else benchmark
    if group is not None and not BENCHMARKS[found].grouped:
        raise ConfigError(f"{found} has its own subsets; leave the group out, or say that the benchmark is pairs")
    # A file left out, or read in another way, would change what the benchmark's number means.
    if asked.how != How() and not BENCHMARKS[found].as_pairs:
        options = "--columns, --layout, --pairs and --skip-unreadable"
        raise ConfigError(f"{found} has columns of its own; leave out {options}, or say --benchmark pairs")
    return BENCHMARKS[found].read(asked)._replace(benchmark=found)


def _guess(asked: ItemsAsked) -> str:
    frames = [frame for opened in asked.opened() for frame in opened.frames]
    fitting = [name for name, one in BENCHMARKS.items() if one.fits(frames)]
    name = next(name for name in fitting if asked.group is None or BENCHMARKS[name].grouped)
    if name != fitting[0]:
        asked.progress.say(f"these are files of {fitting[0]}; by a column they are counted as {name}")
    return name
