"""How a model is named to whatever loads it."""

from typing import NamedTuple


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
        """The fingerprint where there is one, else the name."""
        return self.fingerprint or self.name
