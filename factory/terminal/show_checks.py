"""What `check-data` prints."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from factory.terminal.show import table

if TYPE_CHECKING:
    from factory.commands.check_data import CheckedData


def checked_data(found: Sequence["CheckedData"]) -> str:
    """What keeps the rules, and what each trainer makes of it."""
    return "\n\n".join("\n".join([one.summary, *_predicted(one)]) for one in found)


def _predicted(found: "CheckedData") -> list[str]:
    if not found.predictions:
        return []
    rows = [[one.trainer, *one.effects.values(), one.version] for one in found.predictions]
    firsts = [f"{one.trainer}: {one.first}" for one in found.predictions if one.affected]
    return ["", table(["trainer", *found.predictions[0].effects, "as read in"], rows), "", *firsts]
