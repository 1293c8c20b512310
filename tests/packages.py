"""Packages of others, as tests lay them out."""

from pathlib import Path


def package(folder: Path, name: str, files: dict[str, str], points: dict[str, dict[str, str]]) -> None:
    """Lay out a package as pip would have installed it."""
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8")
    about = folder / f"{name.replace('-', '_')}-1.0.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n", encoding="utf-8")
    lines = [f"[{group}]\n" + "".join(f"{k} = {v}\n" for k, v in each.items()) for group, each in points.items()]
    (about / "entry_points.txt").write_text("\n".join(lines), encoding="utf-8")
