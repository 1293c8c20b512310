"""Registries of named parts: our own, and those that other packages add as entry points."""

import sys
from collections.abc import Callable, Iterator, Mapping
from difflib import get_close_matches
from functools import cache
from importlib.metadata import EntryPoint, distributions, entry_points
from pkgutil import resolve_name
from traceback import walk_tb
from types import MappingProxyType
from typing import Any

from factory.errors import ConfigError, named_line, one_line

_BROKEN = (ImportError, AttributeError, NameError, SyntaxError, TypeError, ValueError)
"""What importing a package that does not fit raises."""


class Registry(Mapping[str, str]):
    """Name to place (`module:attribute`) of the parts of one kind; nothing is imported before `load` asks for it.

    Another package adds a part as an entry point of `group`, whose name is the part's name. Our own names are ours.
    """

    def __init__(self, kind: str, group: str, own: Mapping[str, str], fits: Callable[[Any], bool], a_part: str) -> None:
        """`fits` says whether what an entry point leads to can be such a part, `a_part` in words what it has to be."""
        self.kind, self.group, self.own = kind, group, MappingProxyType(dict(own))
        self._fits, self._a_part = fits, a_part

    def __getitem__(self, name: str) -> str:
        return self.own[name] if name in self.own else self.others[name].value

    def __iter__(self) -> Iterator[str]:
        yield from self.own
        yield from (name for name in self.others if name not in self.own)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    @property
    def others(self) -> Mapping[str, EntryPoint]:
        """The entry points of other packages. Raises ConfigError where two packages use one name."""
        return _others(self.group, tuple(sys.path))

    def load(self, name: str) -> Any:
        """The part called `name`.

        Raises ConfigError, which names the package, for one of another package that cannot be imported or is none;
        KeyError where there is none of that name.
        """
        if name in self.own:
            return resolve_name(self.own[name])
        point = self.others[name]
        whose = f"{self.kind} {name} of the package {_package(point)}"
        try:
            found = point.load()
        except _BROKEN as error:
            raise ConfigError(
                f"the {whose} cannot be loaded: {type(error).__name__}: {one_line(str(error))}"
            ) from error
        if not self._fits(found):
            raise ConfigError(
                f"the {whose} is {point.value}, which is no {self._a_part}; correct or remove the package"
            )
        return found

    def unknown(self, name: str, more: Mapping[str, Any] = MappingProxyType({})) -> str:
        """What to say where there is no part of that name, with the nearest of the names there are, `more` included."""
        near = get_close_matches(name, [*self, *more], n=3, cutoff=0.5)
        known = f"did you mean {' or '.join(near)}?" if near else f"known are {', '.join([*self, *more])}"
        return f"there is no {self.kind} {name!r}; {known}"


@cache
def _others(group: str, _path: tuple[str, ...]) -> Mapping[str, EntryPoint]:
    """By name; looked up once for each state of the import path."""
    found: dict[str, EntryPoint] = {}
    for point in entry_points(group=group):
        twin = found.setdefault(point.name, point)
        # A package that lies on the path twice, as a checkout and installed, adds each part twice, which is no
        # conflict.
        if twin != point and _package(twin) != _package(point):
            both = f"{_package(twin)} and {_package(point)}"
            raise ConfigError(f"the packages {both} both add {point.name} to {group}; remove one of them")
    return found


def fault_of_a_part(error: BaseException) -> str | None:
    """What to say of an error that came out of the code of another package's part; None for one that did not."""
    points = ((dist.name, point) for dist in distributions() for point in dist.entry_points)
    theirs = {each.module.partition(".")[0]: name for name, each in points if each.group.startswith("sso_factory.")}
    for frame, line in reversed([*walk_tb(error.__traceback__)]):
        package = theirs.get(str(frame.f_globals.get("__name__")).partition(".")[0])
        if package is not None:
            where = f"{frame.f_code.co_filename} line {line}, of the package {package}"
            return f"{where}, failed ({named_line(error)}); mend it, then the same command goes on"
    return None


def _package(point: EntryPoint) -> str:
    return point.dist.name if point.dist else point.module
