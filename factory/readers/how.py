"""How a user wants inputs to be read, where their names do not say it."""

from collections.abc import Collection, Mapping
from typing import NamedTuple, TypedDict

from factory.errors import ConfigError, InputError
from factory.readers.names import NAMES

PAIRINGS = ("best_worst", "adjacent", "all")
"""Which pairs are made of more than two candidates."""
RENAMED = ("score", "scores", "score_chosen", "score_rejected", "pair_id", "source")
"""Columns that are called so once a user has named another one for them."""
DECIDING = frozenset(("chosen", "label", "candidates", "score", "scores"))
"""What a user may name, and has thereby said what tells the better reply."""
ROLES = (*NAMES, "label", "first", "second", "completion", "candidates", *RENAMED)
"""What a user may name columns for."""


class How(NamedTuple):
    """How to read."""

    columns: Mapping[str, str] = {}
    """Role to the column that has it, where its name does not say so."""
    layout: str | None = None
    """The one layout to read by; None: found by looking."""
    pairs: str = PAIRINGS[0]
    skip_unreadable: bool = False
    """Leave out files that cannot be read, with a warning."""

    def beside(self, named: Mapping[str, str], there: Collection[str], where: str) -> "How":
        """With what a file beside the data says of its columns, which the user's own word wins over.

        Raises InputError where a column that the user names is not among those that are there.
        """
        # Here, as Columns passes over names that are not there: of the files of a folder each may have others.
        gone = next((name for name in self.columns.values() if name not in there), None)
        if gone is not None:
            listed = ", ".join(sorted(there))
            raise InputError(f"{where}: there is no column {gone!r}, as --columns says; it has {listed}")
        told = {role: name for role, name in named.items() if name in there and name not in self.columns.values()}
        return self._replace(columns={**told, **self.columns})

    def fingerprint(self) -> dict[str, object]:
        """What of it changes the pairs, for the inputs of a stage; nothing where it is as it comes."""
        said = {name: value for name, value in self._asdict().items() if value != getattr(How(), name)}
        return {"read_as": said} if said else {}


class ReadOptions(TypedDict, total=False):
    """The options of every command that reads pairs."""

    columns: Mapping[str, str] | str | None
    """Role to column, such as {"prompt": "query"}, also written `prompt=query,chosen=good`."""
    layout: str | None
    """The one layout to read by."""
    pairing: str | None
    """Which pairs are made of several candidates: best_worst, adjacent or all."""
    skip_unreadable: bool
    """Leave out files that cannot be read, with a warning."""


def how_to_read(options: ReadOptions, configured: Mapping[str, str] | None = None) -> How:
    """The options, checked; `configured` are the columns of a configuration, which those of the options win over.

    Raises ConfigError for a role, or a way of pairing, that there is not, and TypeError for an option that is none.
    """
    # A function that takes these as further keywords takes any: a misspelt `sample` would audit, and pay for, all.
    strange = next((name for name in options if name not in ReadOptions.__annotations__), None)
    if strange is not None:
        raise TypeError(f"got an unexpected keyword argument {strange!r}")
    given = options.get("columns")
    said = parse_columns(given) if isinstance(given, str) else dict(given or {})
    # What is read as context is called input in alpaca files.
    columns = {("context" if role == "input" else role): name for role, name in {**(configured or {}), **said}.items()}
    unknown = next((role for role in columns if role not in ROLES), None)
    if unknown is not None:
        raise ConfigError(f"columns: {unknown!r} is nothing that a pair has; name a column for {', '.join(ROLES)}")
    pairing = options.get("pairing") or PAIRINGS[0]
    if pairing not in PAIRINGS:
        raise ConfigError(f"--pairs {pairing!r} is not known; take one of {', '.join(PAIRINGS)}")
    return How(columns, options.get("layout"), pairing, options.get("skip_unreadable", False))


def parse_columns(text: str) -> dict[str, str]:
    """`prompt=query,chosen=good` as role to column. Raises ConfigError for what is not written so."""
    named: dict[str, str] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        role, _, name = (piece.strip() for piece in part.partition("="))
        if not (role and name) or role in named:
            raise ConfigError(
                f"--columns {text!r}: write ROLE=COLUMN, each role once, such as prompt=query,chosen=good"
            )
        named[role] = name
    return named
