"""YAML as the factory reads it: plain values, no key twice, and an error that names file and line."""

from pathlib import Path
from typing import Any

import yaml

from factory.errors import InputError

MOST_BYTES = 10_000_000
"""No configuration or principle set is larger; a data file given by mistake is refused before it is parsed."""


class Loader(yaml.SafeLoader):
    """SafeLoader (no Python objects) that takes no key twice, where YAML would silently let the last one win."""

    def construct_scalar(self, node: yaml.ScalarNode | yaml.MappingNode) -> Any:
        """A plain value; no text that no file could hold."""
        if any("\ud800" <= letter <= "\udfff" for letter in str(node.value)):
            problem = "a text holds half a character (a lone surrogate)"
            raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark)
        return super().construct_scalar(node)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """A dict, each key there once."""
        seen: set[tuple[str, str]] = set()
        for key, _ in node.value:
            # With its tag: 1 and "1" are two keys.
            name = (key.tag, str(key.value))
            if name in seen:
                problem = f"the key {key.value} is there twice"
                raise yaml.constructor.ConstructorError(None, None, problem, key.start_mark)
            seen.add(name)
        return super().construct_mapping(node, deep=deep)


def read_yaml(path: Path) -> Any:
    """The values in a YAML file; InputError, naming file and line, when it cannot be read or holds a key twice."""
    try:
        with path.open("rb") as file:
            # One more than may be there tells that there is more, without asking how large a pipe is.
            data = file.read(MOST_BYTES + 1)
        if len(data) > MOST_BYTES:
            raise InputError(f"{path}: larger than {MOST_BYTES:,} bytes, so not a file of this kind; check the path")
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 text (byte {error.start}); save it as UTF-8") from error
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read ({getattr(error, 'strerror', None) or error}); check it") from error
    return yaml_of(text, str(path))


def yaml_of(text: str, where: str) -> Any:
    """The values in a YAML text that stands in `where`; InputError, naming it and the line, when it is none."""
    try:
        return yaml.load(text, Loader=Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f", line {mark.line + 1}" if mark else ""
        raise InputError(f"{where}{line}: {error.problem or 'not YAML'}; correct the file") from error
    except yaml.YAMLError as error:
        raise InputError(f"{where}: {str(error).splitlines()[0]}; correct the file") from error
    # PyYAML lets these through, for deep nesting and for dates such as 2024-99-99.
    except (RecursionError, ValueError, TypeError) as error:
        raise InputError(f"{where}: cannot be read as YAML ({type(error).__name__}); correct the file") from error
