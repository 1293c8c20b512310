"""How a model is named to whatever loads it."""

from pathlib import Path
from typing import NamedTuple

from factory.files import at_home
from factory.identity import model_fingerprint


class ModelRef(NamedTuple):
    """Which model an engine loads, and how."""

    name: str
    """Hub id, folder, bundled:…, or the name an API knows."""
    fold_system: bool = False
    """Put the system message into the first user turn even where the chat template knows a system role."""
    trust_remote_code: bool = False
    fingerprint: str = ""
    """Content fingerprint of a trained policy; empty for a model that is known by its name."""
    label: str = ""
    """What tables and records call a trained policy, whose name is but the folder it happens to lie in."""

    @property
    def called(self) -> str:
        """The label where there is one, else the name."""
        return self.label or self.name

    @property
    def identity(self) -> str:
        """The fingerprint where there is one, else the name; and whether it reads system messages as the user's."""
        return (self.fingerprint or self.name) + self.fold_system * " folded"

    @classmethod
    def by_content(cls, name: str) -> "ModelRef":
        """A model that is known by what is in its folder, where it lies in one, else by its name."""
        folder = Path(at_home(name))
        return cls(name, fingerprint=model_fingerprint(folder) if folder.is_dir() else "")
