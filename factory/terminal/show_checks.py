"""What `check-data` and `reproduce` print."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from factory.terminal.tables import table

if TYPE_CHECKING:
    from factory.commands.check_data import CheckedData
    from factory.runs.reproduce import Reproduction


def checked_data(found: Sequence["CheckedData"]) -> str:
    """What keeps the rules, and what each trainer makes of it."""
    return "\n\n".join("\n".join([one.summary, *_predicted(one)]) for one in found)


def _predicted(found: "CheckedData") -> list[str]:
    if not found.predictions:
        return []
    rows = [[one.trainer, *one.effects.values(), one.version] for one in found.predictions]
    firsts = [f"{one.trainer}: {one.first}" for one in found.predictions if one.affected]
    return ["", table(["trainer", *found.predictions[0].effects, "as read in"], rows), "", *firsts]


def reproduction(found: "Reproduction") -> str:
    """Whether the same pairs came, and what may be behind a difference."""
    counts = f"{found.same:,} the same, {found.missing:,} missing, {found.new:,} new"
    said = "exactly the pairs of the card came again" if found.identical else "other pairs came than the card's"
    some = [
        f"{kind}, among them: {' '.join(ids)}"
        for kind, ids in (("missing", found.missing_pairs), ("new", found.new_pairs))
        if ids
    ]
    return "\n".join([f"{said}: {counts}", *some, *found.notes, f"the new run is {found.run}"])
