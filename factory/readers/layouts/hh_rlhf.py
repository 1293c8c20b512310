r"""hh-rlhf: two whole dialogues as texts, `\n\nHuman: …\n\nAssistant: …`, that differ in their last turn."""

import polars as pl

from factory.readers.cells.transcripts import is_led, is_transcript, lead, spaced, turns
from factory.readers.columns.asked import replies, reply
from factory.readers.layouts.base import Columns, Layout, Parts


def _fits(columns: Columns) -> bool:
    pair = replies(columns)
    return pair is not None and pair.kind == "text"


def _rows(columns: Columns) -> pl.Expr:
    pair = replies(columns)
    assert pair is not None
    one, other = (spaced(reply(columns, name)) for name in (pair.chosen, pair.rejected))
    # A text before the dialogue counts as the system's where both replies have the same.
    led = is_led(one) & is_led(other) & (lead(one) == lead(other)).fill_null(value=False)
    return (is_transcript(one) & is_transcript(other)) | led


def _parts(columns: Columns) -> Parts:
    pair = replies(columns)
    assert pair is not None
    chosen, rejected = (turns(spaced(reply(columns, name))) for name in (pair.chosen, pair.rejected))
    both = (pair.chosen, pair.rejected)
    used = {"prompt": both, "chosen": both[:1], "rejected": both[1:]}
    return Parts(None, chosen, rejected, used, conversations=True)


HH_RLHF = Layout("hh_rlhf", r"chosen, rejected: transcripts (\n\nHuman: …\n\nAssistant: …)", _fits, _parts, _rows)
