"""What the layouts with columns for prompt, chosen and rejected have in common."""

from factory.readers.asked import FoundPrompt, asked, replies, reply
from factory.readers.layouts.base import Parts
from factory.readers.names import Columns


def explicit(columns: Columns, found: FoundPrompt | None) -> Parts:
    """The parts of a pair whose replies have a column each; `found` is its prompt, None where the replies bring it."""
    pair = replies(columns)
    assert pair is not None
    steps = columns.first("steps") if pair.kind == "text" else None
    roles = {"prompt": (pair.chosen, pair.rejected)} if found is None else found.columns
    system = None if found is None else next(iter(found.columns["system"]), None)
    repeated = pair.kind != "text"  # such replies may hold the prompt again, without the message that a column has
    return Parts(
        None if found is None else found.bare if repeated else found.turns,
        reply(columns, pair.chosen),
        reply(columns, pair.rejected),
        {**roles, "chosen": (pair.chosen,), "rejected": (pair.rejected,), "steps": (steps,) if steps else ()},
        conversations=pair.kind != "text",
        under=system if repeated else None,
    )


def prompted(columns: Columns, kind: str) -> FoundPrompt | None:
    """The prompt, where the file has one beside two replies of this kind."""
    pair = replies(columns)
    return asked(columns) if pair is not None and pair.kind == kind else None
