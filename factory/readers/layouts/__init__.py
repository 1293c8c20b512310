"""Pair layouts: one file each, tried in this order. To add one: a file with a `Layout`, and a line here."""

from factory.readers.layouts.base import Layout
from factory.readers.layouts.hh_rlhf import HH_RLHF
from factory.readers.layouts.labelled import LABELLED
from factory.readers.layouts.own import OWN
from factory.readers.layouts.plain import PLAIN
from factory.readers.layouts.sharegpt import SHAREGPT
from factory.readers.layouts.trl_conversational import TRL_CONVERSATIONAL
from factory.readers.layouts.trl_implicit import TRL_IMPLICIT
from factory.readers.layouts.trl_implicit_text import TRL_IMPLICIT_TEXT
from factory.readers.layouts.ultrafeedback import ULTRAFEEDBACK

LAYOUTS: dict[str, Layout] = {
    layout.name: layout
    for layout in (
        OWN,
        TRL_CONVERSATIONAL,
        ULTRAFEEDBACK,
        SHAREGPT,
        TRL_IMPLICIT,
        PLAIN,
        LABELLED,
        HH_RLHF,
        TRL_IMPLICIT_TEXT,
    )
}
"""Name to layout; of those whose columns a file has, the first that claims a row reads it."""
