"""The bundled model's weights as pieces of less than 60 MB, for a machine without network, and back.

    python benchmarks/weights.py split PIECES           here, where the model's package is installed
    python benchmarks/weights.py join PIECES FOLDER     there: FOLDER is a model folder then

The pieces may arrive one by one; `join` says which are missing, and that the whole is the file it was.
"""

import hashlib
import json
import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).parent.parent)

from factory.config import BUNDLED_MODEL
from factory.models.bundled import bundled_gguf, convert

PIECE = 50_000_000


def split(pieces: Path) -> None:
    """Write the pieces and `whole.json`, which names them and the hash of the whole."""
    gguf, _ = bundled_gguf(BUNDLED_MODEL)
    if gguf is None:
        raise SystemExit(f"the package of {BUNDLED_MODEL} has no GGUF file")
    data = gguf.read_bytes()
    pieces.mkdir(parents=True, exist_ok=True)
    names = [f"piece-{number}" for number in range(-(-len(data) // PIECE))]
    for number, name in enumerate(names):
        (pieces / name).write_bytes(data[number * PIECE : (number + 1) * PIECE])
    whole = {"file": gguf.name, "sha256": hashlib.sha256(data).hexdigest(), "pieces": names}
    (pieces / "whole.json").write_text(json.dumps(whole), "utf-8")


def join(pieces: Path, folder: Path) -> None:
    """Make a model folder of the pieces. SystemExit where one is missing or the whole is not what was split."""
    whole = json.loads((pieces / "whole.json").read_text("utf-8"))
    if missing := [name for name in whole["pieces"] if not (pieces / name).is_file()]:
        raise SystemExit(f"{pieces} lacks {', '.join(missing)}")
    data = b"".join((pieces / name).read_bytes() for name in whole["pieces"])
    if hashlib.sha256(data).hexdigest() != whole["sha256"]:
        raise SystemExit(f"the pieces in {pieces} do not make the file that was split")
    gguf = pieces / whole["file"]
    gguf.write_bytes(data)
    if not folder.is_dir():
        convert(gguf, folder.absolute())


if __name__ == "__main__":
    {"split": split, "join": join}[sys.argv[1]](*map(Path, sys.argv[2:]))
