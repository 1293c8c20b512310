"""Pair layouts: one file each, or one for a family, tried in this order. To add one: a `Layout`, and a line here.

Another package adds one as an entry point of the group `sso_factory.layouts`, whose value is its `Layout`.
"""

from factory.errors import ConfigError
from factory.readers.layouts.base import Layout
from factory.readers.layouts.candidates import CANDIDATES
from factory.readers.layouts.ending import ENDING
from factory.readers.layouts.explicit import OWN, PLAIN, SHAREGPT, TRL_CONVERSATIONAL, TRL_IMPLICIT, ULTRAFEEDBACK
from factory.readers.layouts.hh_rlhf import HH_RLHF
from factory.readers.layouts.labelled import LABELLED
from factory.readers.layouts.single import SINGLE
from factory.readers.layouts.trees import TREES
from factory.readers.layouts.trl_implicit_text import TRL_IMPLICIT_TEXT
from factory.registry import Registry

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
        CANDIDATES,
        ENDING,
        SINGLE,
        TREES,
        HH_RLHF,
        TRL_IMPLICIT_TEXT,
    )
}
"""Name to layout; of those whose columns a file has, the first that claims a row reads it."""

_OTHERS = Registry(
    "pair layout",
    "sso_factory.layouts",
    {},
    lambda part: isinstance(part, Layout),
    "factory.readers.layouts.base.Layout",
)


def layouts() -> dict[str, Layout]:
    """Every layout by its name, those of other packages first: they know their files better than we do."""
    others: dict[str, Layout] = {found.name: found for found in map(_OTHERS.load, _OTHERS)}
    return {**others, **{name: layout for name, layout in LAYOUTS.items() if name not in others}}


def require_layout(name: str | None) -> None:
    """Raise ConfigError for a layout that there is not."""
    if name is not None and name not in layouts():
        raise ConfigError(f"there is no layout {name!r}; the layouts are {', '.join(layouts())}")
