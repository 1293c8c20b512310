"""What a card records so that its pairs can be made again: all that decided them, without places, servers and keys."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from factory.config import Export
from factory.exports.facts.models import RunFacts
from factory.exports.facts.public import public_config, public_name, some
from factory.readers import fingerprint
from factory.store import read_manifest

NOT_SHOWN = "not_shown"
"""Key of a block that lists those of its keys which decide the data and are on no card."""
INPUTS, VERSIONS = "inputs", "versions"
MIXED = ("share", "source", "columns")
_OTHERS = {"pairs.weak": "weak", "pairs.by": "reward"}
"""Keys of further models that make pairs, and what the manifest of the pairs calls their fingerprint."""
_PROMPTS = ("columns", "limit", "target_pairs", "per_round", "budget")
_ENGINE = ("kind", "name", "model", "dtype", "quantization", "structured_outputs")
_ELSEWHERE = ("base_url", "serve", "script", "lora", "options", "extra_body")


def recipe(config: Mapping[str, Any], root: Path | None = None) -> dict[str, Any]:
    """What decided the pairs of a run: the public part of its configuration, and what was read, by its folder `root`.

    Of a recipe it makes the same one again, so that nothing but public keys is taken from a card.
    """
    if not config:
        return {}
    shown = public_config(config)
    prompts = {**some(config.get("prompts"), _PROMPTS), NOT_SHOWN: ["paths"]}
    parts = {
        "run": some(config.get("run"), ("seed", "iterations")),
        "prompts": {key: value for key, value in prompts.items() if key != "budget" or any(value.values())},
        "policy": some(config.get("policy"), ("model", "system_role")),
        "engine": engine(config.get("engine")),
        "filters": config.get("filters"),
        **shown,
        INPUTS: _read(root) if root else {},
    }
    judges = zip(shown.get("judges", ()), config.get("judges") or (), strict=True)
    parts["judges"] = [judge | _on(engine(raw.get("engine"))) for judge, raw in judges]
    weak = engine((config.get("pairs") or {}).get("weak_engine"))
    parts["pairs"] = shown.get("pairs", {}) | ({"weak_engine": weak} if weak else {})
    return {name: part for name, part in parts.items() if part or (name == "filters" and part is not None)}


def whole(run: RunFacts, format: str, options: Export) -> dict[str, Any]:
    """The recipe of one export of a run, with the versions that it was made by; empty where the run's is not known.

    It has which of the kept pairs the export takes, what it was mixed with, and fingerprints of that.
    """
    if not run.recipe:
        return {}
    held = options.model_dump(mode="json")
    # In place of paths, which say nothing elsewhere, what lies there is named by its hash.
    mixed = [some(one, MIXED) | {NOT_SHOWN: ["path"]} for one in held["mix"]]
    export = {"formats": [format], **some(held, ("one_per_prompt",)), **({"mix": mixed} if mixed else {})}
    if options.decontaminate:
        export[NOT_SHOWN] = ["decontaminate"]
    versions = some({"sso_factory": run.version, **run.versions}, ("sso_factory", *run.versions))
    inputs = {**run.recipe.get(INPUTS, {}), **mixed_in(options)}
    return {**run.recipe, "export": export, INPUTS: inputs, VERSIONS: versions}


def engine(block: Mapping[str, Any] | None) -> dict[str, Any]:
    """What of an engine decides its answers; empty for none."""
    if not block:
        return {}
    # Named but not shown: who makes the pairs again must know that something is to be given.
    hidden = [key for key in _ELSEWHERE if block.get(key)]
    return some(block, _ENGINE) | _on(engine(block.get("engine"))) | ({NOT_SHOWN: hidden} if hidden else {})


def _on(block: dict[str, Any]) -> dict[str, Any]:
    return {"engine": block} if block else {}


def _read(root: Path) -> dict[str, Any]:
    """Fingerprints of what the run read, as the manifests of its stages have them."""
    first, last, made = (made_from(root, name) for name in ("prompts", "filtered/filter", "iterations/1/triples"))
    judges = last.get("judges") or []
    templates = {f"judge {judge['name']}": judge["template"] for judge in judges}
    models = {model_of(judge["name"]): judge["content"] for judge in judges if judge.get("content")}
    others = {key: public_name(made[name]) for key, name in _OTHERS.items() if made.get(name)}
    return {**some(first, ("prompts", "policy", "principles")), **templates, **models, **others}


def made_from(root: Path, stage: str) -> dict[str, Any]:
    """Fingerprints of what a stage of a run was made from, by its manifest; none where it has not been made."""
    found = read_manifest(root / f"{stage}.manifest.json")
    return found[INPUTS] if found else {}


def model_of(judge: str) -> str:
    """What the fingerprint of a judge's model, which lies in a folder, is called among what was read."""
    return f"model of judge {judge}"


def mixed_in(options: Export) -> dict[str, str]:
    """Fingerprints of the files that an export is mixed with or held against."""
    found = {f"export.mix.{n}": fingerprint(one.path) for n, one in enumerate(options.mix)}
    benchmarks = {"export.decontaminate": fingerprint(options.decontaminate)} if options.decontaminate else {}
    return found | benchmarks
