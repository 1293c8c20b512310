"""Two runs side by side as text."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from factory.errors import one_line, percent, short, span
from factory.terminal import describe_seconds
from factory.terminal.tables import table, words

if TYPE_CHECKING:
    from factory.exports.facts.opinions import Opinion
    from factory.exports.report.comparison import ComparedRun, Comparison

_SOME = 3
"""Pairs of one run alone that are told."""
_CHARS = 90


def compared(found: "Comparison") -> str:
    """What must be borne in mind, the numbers of both, what differs in their settings, and the pairs of one alone."""
    runs = (found.first, found.second)
    names = [f"{place}: {one_line(run.name)}" for place, run in zip(("first", "second"), runs, strict=True)]
    parts = ["\n".join(found.notes)] if found.notes else []
    parts.append(table(["", *names, "second less first"], _numbers(found)))
    if found.funnel:
        steps = [[step.filter, *(_step(side) for side in (step.first, step.second))] for step in found.funnel]
        parts.append(table(["kept by", *names], steps))
    if found.settings:
        keys = [[setting.key, words(setting.first), words(setting.second)] for setting in found.settings]
        parts.append(table(["what differs", *names], keys))
    parts += filter(None, [_pairs(found)])
    return "\n\n".join([*parts, f"report  {found.report}"])


def _numbers(found: "Comparison") -> Iterator[list[Any]]:
    made, kept = (found.first.made, found.second.made), (found.first.kept, found.second.kept)
    for label, values in (("all pairs", made), ("pairs kept", kept)):
        yield [label, *values, _apart(*values)]
    for each in found.agreement:
        label = (
            f"{each.measure} with {each.judge}, {each.of}" if each.measure == "agreement" else f"accuracy, {each.of}"
        )
        apart = ""
        if each.difference is not None and each.low is not None and each.high is not None:
            apart = f"{100 * each.difference:+.1f} points ({span(100 * each.low, 100 * each.high, '+.1f')})"
        yield [label, _opinion(each.first), _opinion(each.second), apart]
    yield from _lengths(found.first, found.second)
    yield ["tokens", found.first.tokens, found.second.tokens, ""]
    if not found.first.cost is found.second.cost is None:
        yield ["cost", found.first.cost, found.second.cost, ""]
    yield ["time of all stages", *(describe_seconds(run.seconds) for run in (found.first, found.second)), ""]


def _lengths(first: "ComparedRun", second: "ComparedRun") -> Iterator[list[str]]:
    sides = [run.lengths for run in (first, second)]
    yield ["mean length, chosen", *("–" if one is None else f"{one.chosen:,.0f}" for one in sides), ""]
    yield ["mean length, rejected", *("–" if one is None else f"{one.rejected:,.0f}" for one in sides), ""]
    longer = [None if one is None or one.longer_chosen is None else one.longer_chosen.value for one in sides]
    yield ["chosen is the longer reply, of unequal ones", *("–" if one is None else percent(one) for one in longer), ""]


def _apart(first: int | None, second: int | None) -> str:
    return "" if first is None or second is None else f"{second - first:+,}"


def _opinion(said: "Opinion | None") -> str:
    if said is None:
        return "–"
    return f"{percent(said.share)} of {said.n:,} ({span(percent(said.low), percent(said.high))})"


def _step(side: Any) -> str:
    return "–" if side is None else f"{side.kept:,} (dropped {side.rejected:,})"


def _pairs(found: "Comparison") -> str:
    """How many pairs and prompts both kept, and some of the pairs of one alone."""
    kept = found.pairs
    if kept is None:
        return ""
    counts = (kept.both, len(kept.only_first), len(kept.only_second))
    prompts = (kept.prompts_both, kept.prompts_only_first, kept.prompts_only_second)
    lines = [
        "{:,} pairs were kept by both, {:,} by the first alone, {:,} by the second alone".format(*counts),
        "{:,} prompts have a kept pair in both, {:,} in the first alone, {:,} in the second alone".format(*prompts),
    ]
    for name, alone in (("first", kept.first), ("second", kept.second)):
        lines += [
            f"  {name} alone  {pair.pair_id[:8]}  {pair.there}: {short(pair.prompt, _CHARS)}" for pair in alone[:_SOME]
        ]
    return "\n".join(lines)
