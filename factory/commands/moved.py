"""What `export` did before commands of their own took it over: done by them, with a sentence that names them."""

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec

from factory.commands.answers import answers
from factory.commands.check_data import check_data
from factory.errors import ConfigError
from factory.exports.eval_files import EVAL_FORMATS
from factory.identity import DEFAULT_SEED
from factory.progress import Progress, Silent
from factory.readers.inputs.sources import as_list

P = ParamSpec("P")
Written = list[Path | str]
_GOES = "the old spelling goes with the next minor version"


def moved(export: Callable[P, Written]) -> Callable[P, Written]:
    """`export` that hands `check`, and the formats of answers with their `policy`, to `check_data` and `answers`."""

    @wraps(export)
    def whole(*args: P.args, **options: P.kwargs) -> Written:
        # Taken out here, so that neither the signature of export nor its help names what is to go.
        check, policy = bool(options.pop("check", False)), options.pop("policy", None)
        # The three that may be given by place, by the names that they have in `export`.
        named = dict(zip(("pairs", "format", "out"), args, strict=False)) | options
        if named.get("format") in EVAL_FORMATS:
            return [*_answers(named, policy)]
        if check:
            return [*_checked(named)]
        return export(*args, **options)

    return whole


def _answers(named: dict[str, Any], policy: Any) -> list[Path]:
    format_, out = named["format"], named.get("out")
    _say(
        named,
        f"export --format {format_} is now sso-factory answers PROMPTS --policy MODEL --format {format_} --out DIR",
    )
    listed = as_list(named["pairs"])
    if policy is None or out is None or len(listed) != 1:
        raise ConfigError(f"{format_} takes one file of prompts, --policy MODEL and --out DIR")
    seed = named.get("seed")
    return answers(
        listed[0],
        format_,
        out,
        policy=policy,
        columns=named.get("columns"),
        seed=DEFAULT_SEED if seed is None else seed,
        progress=named.get("progress"),
    )


def _checked(named: dict[str, Any]) -> list[Path]:
    format_ = named.get("format", "rm")
    _say(named, f"export --check is now sso-factory check-data FILES --format {format_}")
    keep_system = bool(named.get("keep_system"))
    checked = check_data(named["pairs"], format_, keep_system=keep_system, progress=named.get("progress"))
    return [one.path for one in checked]


def _say(named: dict[str, Any], sentence: str) -> None:
    shown: Progress = named.get("progress") or Silent()
    shown.say(f"{sentence}; {_GOES}")
