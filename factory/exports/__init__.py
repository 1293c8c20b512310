"""What leaves the factory: one file per format, the dataset card and the report."""

from factory.errors import ConfigError
from factory.exports.base import Format
from factory.registry import Registry

EXPORTERS = Registry(
    "export format",
    "sso_factory.exports",
    {
        "rm": "factory.exports.rm:FORMAT",
        "dpo": "factory.exports.dpo:FORMAT",
        "sso": "factory.exports.sso:FORMAT",
        "llamafactory": "factory.exports.llamafactory:FORMAT",
        "axolotl": "factory.exports.axolotl:FORMAT",
        "verl": "factory.exports.verl:FORMAT",
        "kto": "factory.exports.kto:FORMAT",
        "tpo": "factory.exports.tpo:FORMAT",
        "sdft": "factory.exports.sdft:FORMAT",
        "pairs": "factory.exports.pairs:FORMAT",
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
