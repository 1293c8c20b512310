"""Filters: which pairs count. One file per filter, named in FILTERS; pure polars, never a model.

A filter reads columns and adds none. To add one: a file with a `Filter`, and a line here; or, in a package of yours, an
entry point of the group `sso_factory.filters`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from factory.errors import ConfigError
from factory.registry import Registry
from factory.strict import first_fault
from filters.base import Filter

FILTERS = Registry(
    "filter",
    "sso_factory.filters",
    {
        "iteration": "filters.iteration:Iteration",
        "duplicate": "filters.duplicate:Duplicate",
        "length_gap": "filters.length_gap:LengthGap",
        "decontaminate": "filters.decontaminate:Decontaminate",
        "judge_agrees": "filters.judge_agrees:JudgeAgrees",
        "length_balance": "filters.length_balance:LengthBalance",
        "truncated": "filters.truncated:Truncated",
        "refusal": "filters.refusal:Refusal",
        "leak": "filters.leak:Leak",
        "degenerate": "filters.degenerate:Degenerate",
        "logprob_order": "filters.logprob_order:LogprobOrder",
        "logprob_mean": "filters.logprob_mean:LogprobMean",
        "margin": "filters.margin:Margin",
        "score_gap": "filters.score_gap:ScoreGap",
    },
    lambda part: isinstance(part, type) and issubclass(part, Filter) and hasattr(part, "name"),
    "subclass of filters.base.Filter with a name",
)
"""Name to the class of each filter, ours and those of other packages."""


def paper(judged: bool = True) -> list[dict[str, Any]]:
    """The paper's funnel, as blocks for `build`; where nobody judges it goes without judge_agrees."""
    judging = [{"use": "judge_agrees"}] if judged else []
    return [{"use": "iteration"}, {"use": "duplicate"}, {"use": "length_gap"}, *judging, {"use": "length_balance"}]


PAPER: tuple[Mapping[str, Any], ...] = tuple(paper())
"""The paper preset where there are judges."""


PRESETS: Mapping[str, tuple[Mapping[str, Any], ...]] = {
    "paper": PAPER,
    "authors_logprobs": (
        {"use": "logprob_order"},
        {"use": "logprob_mean", "of": "on_policy"},
        {"use": "logprob_mean", "of": "gap"},
    ),
}
"""Filters by one name, which `use` takes as it does a filter's: the paper's funnel, and the filter in the code that its
authors published (four inequalities, then the likelier half, then the wider gaps)."""


def build(blocks: Sequence[Mapping[str, Any]] | None) -> tuple[Filter, ...]:
    """The filters that `blocks` ({use: name, option: value, …}) describe, in order; None is the paper preset.

    Raises ConfigError naming the block and, where a name is unknown, the names nearest to it.
    """
    # Numbered before presets are written out: the place is that in the file.
    placed = ((block, f"filters[{place}]") for place, block in enumerate(PAPER if blocks is None else blocks))
    return tuple(one for block, where in placed for one in _of_block(block, where))


def _of_block(block: Mapping[str, Any], where: str) -> tuple[Filter, ...]:
    if not isinstance(block, Mapping) or not isinstance(block.get("use"), str):
        raise ConfigError(f"{where}: a filter is written as {{use: name, …}} with a name of {', '.join(FILTERS)}")
    name = block["use"]
    if name not in PRESETS:
        return (_one(name, block, where),)
    if len(block) > 1:
        raise ConfigError(f"{where}: {name} stands for several filters and takes no options; list them one by one")
    return tuple(_one(one["use"], one, where) for one in PRESETS[name])


def _one(name: str, block: Mapping[str, Any], where: str) -> Filter:
    if name not in FILTERS:
        raise ConfigError(f"{where}: {FILTERS.unknown(name, PRESETS)}")
    kind: type[Filter] = FILTERS.load(name)
    options = {key: value for key, value in block.items() if key != "use"}
    try:
        return kind.model_validate(options)
    except ValidationError as error:
        raise ConfigError(f"{where} ({name}): {first_fault(error, kind)}") from None
