"""Options that several commands have, or that are one thing, each with its words."""

from collections.abc import Callable
from functools import reduce
from pathlib import Path
from typing import Any

import click

from factory.identity import DEFAULT_SEED

Decorator = Callable[[Any], Any]
_PATH = click.Path(path_type=Path)


def _together(*options: Decorator) -> Decorator:
    """Options as one decorator; a help text lists them in this order."""
    # The last decorator of a function is called first, and click puts what comes later before it.
    return lambda command: reduce(lambda made, option: option(made), reversed(options), command)


PAIRS = click.argument("pairs", nargs=-1, required=True)
OUT = click.option("--out", required=True, type=_PATH, help="Folder for the results.")
SETS = click.option("--set", "sets", multiple=True, metavar="KEY.PATH=VALUE", help="Override a key of the config.")
SEED = click.option("--seed", type=int, default=DEFAULT_SEED, show_default=True, help="Every draw derives from it.")
DRY_RUN = click.option("--dry-run", is_flag=True, help="Say what would be done and what it would cost; do nothing.")
RUN = _together(
    click.argument("config", type=_PATH),
    click.option("--run-dir", type=_PATH, help="Run folder, instead of run.dir."),
    SETS,
)
"""A run: its configuration and its folder."""
TRAINING = _together(OUT, SETS, SEED)
MIXED = _together(
    click.option(
        "--mix", multiple=True, metavar="PATH[=SHARE]", help="Mix in other pairs, as this share of the result."
    ),
    click.option("--decontaminate", multiple=True, metavar="FILE", help="Drop pairs that share text with its prompts."),
)
"""What pairs an export is made of beside those that are given."""
CARD = _together(
    click.option("--license", help="Licence of the data set, for its card: an SPDX-like name of the Hub, such as mit."),
    click.option("--language", multiple=True, metavar="CODE", help="Language of the texts, for the card, such as en."),
)
"""What its card says that nothing else knows."""
HUB = _together(
    click.option("--push-to-hub", metavar="USER/NAME", help="Push the folder to the Hub as well."),
    click.option("--private", is_flag=True, help="Make the Hub repository private."),
)
"""Where else it goes."""
