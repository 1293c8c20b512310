"""What every `engine:` block has."""

from typing import Any, ClassVar

from factory.strict import Strict


class EngineBase(Strict):
    """What every engine block has."""

    decides: ClassVar[tuple[str, ...]] = ("kind",)
    """The fields that change what the engine answers; the others change how fast, and leave finished stages valid."""
    kind: str

    @property
    def runner(self) -> str:
        """Which engine runs it: a key of `factory.engines.ENGINES`."""
        return self.kind

    @property
    def fingerprint(self) -> dict[str, Any]:
        """The deciding fields with their values."""
        return {name: getattr(self, name) for name in self.decides}
