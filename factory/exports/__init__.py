"""What leaves the factory: one file per format, the dataset card and the report."""

from factory.errors import ConfigError
from factory.exports.base import Format
from factory.registry import Registry

EXPORTERS = Registry(
    "export format",
    "sso_factory.exports",
    {
        "rm": "factory.exports.formats.rm:FORMAT",
        "dpo": "factory.exports.formats.dpo:FORMAT",
        "sso": "factory.exports.formats.sso:FORMAT",
        "llamafactory": "factory.exports.formats.llamafactory:FORMAT",
        "axolotl": "factory.exports.formats.axolotl:FORMAT",
        "verl": "factory.exports.formats.verl:FORMAT",
        "kto": "factory.exports.formats.kto:FORMAT",
        "tpo": "factory.exports.formats.tpo:FORMAT",
        "sdft": "factory.exports.formats.sdft:FORMAT",
        "pairs": "factory.exports.formats.pairs:FORMAT",
    },
    lambda part: isinstance(part, Format),
    "factory.exports.base.Format",
)
"""Format name to where it is defined. A new format is one file and one line here, or an entry point elsewhere."""


def exporter(name: str) -> Format:
    """The format called `name`. Raises ConfigError with the names there are."""
    if name not in EXPORTERS:
        raise ConfigError(f"there is no export format {name!r}; the formats are {', '.join(EXPORTERS)}")
    found: Format = EXPORTERS.load(name)
    return found
