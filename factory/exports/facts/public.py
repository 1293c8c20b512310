"""What of a configuration may be shown to everybody: neither where things lie nor how servers are reached."""

import re
from collections.abc import Iterable, Mapping
from pathlib import PurePath
from typing import Any

from factory.exports.facts.making import MAKINGS, PRINCIPLES, UNKNOWN, maker_of
from factory.files.json_text import retold

_SHOWN = ("pairs", "principles", "sampling", "training", "filters", "judges", "audit")
_JUDGE = (
    *("name", "model", "template", "criterion", "max_new_tokens", "temperature", "retries", "frugal", "full_share"),
    "license",
)
_PRIVATE = {"report_to", "trainer_options", "save_steps", "logits_chunk", "micro_batch_tokens", "allow_self"}
PAPER = "paper preset"
"""What is said of filters that a configuration leaves to the default."""


def public_name(name: str) -> str:
    """A model or file name without the folders that lead to it, where it is a path of some machine."""
    # fsspec reads file:///home/… as the path that it is.
    text = re.sub(r"^file:/+", "/", str(name), flags=re.IGNORECASE)
    # By hand, as Windows paths are to be known on any system, and org/model is none.
    local = text.startswith(("/", "./", "../", "~", "\\")) or (len(text) > 2 and text[1] == ":" and text[2] in "\\/")
    return PurePath(text.replace("\\", "/")).name if local else text


def public_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """The parts of a configuration that decide what the data is like."""
    shown = {key: _value(config[key]) for key in _SHOWN if config.get(key)}
    if "pairs" in shown:
        # Only those that the maker reads: the others stand at their defaults and decided nothing.
        keys = MAKINGS.get(maker_of(config), UNKNOWN).keys
        shown["pairs"] = {key: shown["pairs"][key] for key in ("from", *keys) if shown["pairs"].get(key) is not None}
    if maker_of(config) != PRINCIPLES:
        shown.pop("principles", None)
    if "filters" in config and config["filters"] is None:
        shown["filters"] = PAPER
    if "judges" in shown:
        shown["judges"] = [_judge(judge) for judge in shown["judges"]]
    if "audit" in shown:
        judge = shown["audit"].get("judge")
        shown["audit"] = {**shown["audit"], "judge": _judge(judge)} if judge else None
    return {key: value for key, value in shown.items() if value}


def _judge(judge: Mapping[str, Any]) -> dict[str, Any]:
    return {key: judge[key] for key in _JUDGE if judge.get(key) is not None}


def without(value: Any, *keys: str) -> Any:
    """Plain values without these keys, at any depth."""
    if isinstance(value, dict):
        return {name: without(item, *keys) for name, item in value.items() if name not in keys}
    return [without(item, *keys) for item in value] if isinstance(value, list | tuple) else value


def _value(value: Any) -> Any:
    return retold(without(value, *_PRIVATE), public_name)


def some(block: Mapping[str, Any] | None, keys: Iterable[str]) -> dict[str, Any]:
    """Those of the keys of a block that hold something."""
    held = {key: _value((block or {}).get(key)) for key in keys}
    return {key: value for key, value in held.items() if value not in (None, {}, [])}
