"""An export as datasets loads it."""

from pathlib import Path

import datasets


def loaded(folder: Path, cache: Path) -> datasets.DatasetDict:
    return datasets.load_dataset(str(folder), cache_dir=str(cache))


def rows(folder: Path, tmp_path: Path, split: str = "train") -> list[dict]:
    return loaded(folder, tmp_path / "cache")[split].to_list()
