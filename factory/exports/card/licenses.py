"""What licences ask of who passes a work on: that of a data set is to be no looser than those of its inputs."""

import re
from collections.abc import Mapping

from factory.errors import ConfigError
from factory.exports.pages.frontmatter import license_key

NAMED, ALIKE, UNPAID, UNCHANGED = (
    "asks for attribution",
    "asks for the same licence on what is made of it",
    "allows no commercial use",
    "allows no changed version",
)
_CONDITIONS: Mapping[str, frozenset[str]] = {
    r"cc0-1\.0|unlicense|wtfpl|pddl|0bsd": frozenset(),
    r"cc-by-nc-nd-\d\.\d": frozenset({NAMED, UNPAID, UNCHANGED}),
    r"cc-by-nc-sa-\d\.\d": frozenset({NAMED, UNPAID, ALIKE}),
    r"cc-by-nc-\d\.\d": frozenset({NAMED, UNPAID}),
    r"cc-by-nd-\d\.\d": frozenset({NAMED, UNCHANGED}),
    r"cc-by-sa-\d\.\d|cc-by-sa|odbl|cdla-sharing-1\.0|[al]?gpl-?[\d.]*|mpl-2\.0|eupl-1\.\d|osl-3\.0": frozenset(
        {NAMED, ALIKE}
    ),
    r"cc-by-\d\.\d|odc-by|cdla-permissive-\d\.0|mit|apache-2\.0|bsd.*|isc|afl-3\.0|ecl-2\.0|zlib": frozenset({NAMED}),
}
"""Identifiers of the Hub, as patterns, to what they ask; of any other licence it is not known."""


def conditions(name: str | None) -> frozenset[str] | None:
    """What a licence asks; None where that is not known here."""
    key = license_key(name)
    return next((found for pattern, found in _CONDITIONS.items() if key and re.fullmatch(pattern, key)), None)


def require_as_strict(name: str | None, inputs: Mapping[str, str | None]) -> None:
    """Raise ConfigError for a licence that asks less than that of an input. `inputs`: part to its licence.

    Licences of which it is not known here what they ask are passed over: the card tells readers to look them up.
    """
    own = conditions(name)
    if own is None:
        return
    for part, theirs in inputs.items():
        missing = sorted((conditions(theirs) or frozenset()) - own)
        if missing:
            raise ConfigError(
                f"license {name!r} is looser than {theirs!r}, that of the {part}, which {' and '.join(missing)}; "
                f"take {theirs!r}, or one as strict"
            )
