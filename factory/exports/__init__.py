"""What leaves the factory: one file per format, the dataset card and the report."""

from pkgutil import resolve_name

from factory.errors import ConfigError
from factory.exports.base import Format

EXPORTERS: dict[str, str] = {
    "rm": "factory.exports.rm:FORMAT",
    "dpo": "factory.exports.dpo:FORMAT",
    "sso": "factory.exports.sso:FORMAT",
    "llamafactory": "factory.exports.llamafactory:FORMAT",
    "axolotl": "factory.exports.axolotl:FORMAT",
    "pairs": "factory.exports.pairs:FORMAT",
}
"""Format name to where it is defined. A new format is one file and one line here."""


def exporter(name: str) -> Format:
    """The format called `name`. Raises ConfigError with the names there are."""
    if name not in EXPORTERS:
        raise ConfigError(f"there is no export format {name!r}; the formats are {', '.join(EXPORTERS)}")
    found: Format = resolve_name(EXPORTERS[name])
    return found
