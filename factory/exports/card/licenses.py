"""Licences and languages as the Hub spells them; a data set's licence is to be no looser than those of its inputs."""

import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches

from factory.errors import ConfigError
from factory.exports.pages.html import asset

_LANGUAGE = re.compile(r"[a-z]{2,3}")
_LICENSE = re.compile(r"[a-z0-9][a-z0-9.\-]*")
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


def require_license(name: str | None) -> None:
    """Raise ConfigError for a licence that is nearly, and not quite, one of the Hub's identifiers."""
    key = license_key(name)
    # 0.8: apache2 is near apache-2.0, and mit is not near isc.
    near = get_close_matches(key, hub_licenses(), n=1, cutoff=0.8) if key and key not in hub_licenses() else []
    if near:
        why = f"license {name!r} is none that the Hub knows: is {near[0]} meant"
        raise ConfigError(f"{why}? Terms of your own take a name of more than one word")


def hub_licenses() -> list[str]:
    """The identifiers of licences that the Hub knows."""
    return asset("hub_licenses.txt").split()


def license_key(name: str | None) -> str | None:
    """A licence as the Hub spells identifiers (`Apache-2.0` -> `apache-2.0`), or None where it is not one word."""
    key = (name or "").strip().lower()
    return key if _LICENSE.fullmatch(key) else None


def require_language(codes: Sequence[str]) -> None:
    """Raise ConfigError for a language that is no code of two or three letters."""
    odd = next((code for code in codes if not _LANGUAGE.fullmatch(code)), None)
    if odd is not None:
        raise ConfigError(f"language {odd!r} is no ISO 639 code of two or three letters, such as en; write it so")
