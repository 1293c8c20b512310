"""What `import factory` offers: the same names at run time and to a type checker."""

import ast
import pkgutil
import re
from pathlib import Path

import pytest

import factory

SOURCE = Path(factory.__file__).read_text(encoding="utf-8")


def typed_names() -> dict[str, str]:
    """Name to `module:object`, as the block under TYPE_CHECKING imports them."""
    block = next(node for node in ast.parse(SOURCE).body if isinstance(node, ast.If))
    found = {}
    for node in block.body:
        if isinstance(node, ast.ImportFrom):
            found |= {alias.asname or alias.name: f"{node.module}:{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Assign):
            found[node.targets[0].id] = found.pop(node.value.id)
    return found


def test_a_type_checker_sees_what_is_there_at_run_time():
    assert {"__version__", *typed_names()} == set(factory.__all__)
    for name, place in typed_names().items():
        assert getattr(factory, name) is pkgutil.resolve_name(place)


@pytest.mark.parametrize("package", ["factory", "filters", "principles"])
def test_packages_are_marked_as_typed(package):
    assert (Path(factory.__file__).parents[1] / package / "py.typed").is_file()


def test_an_error_of_ours_can_be_caught_by_its_public_name():
    with pytest.raises(factory.InputError, match=r"missing\.jsonl"):
        factory.load_pairs("missing.jsonl")
    assert issubclass(factory.InputError, factory.FactoryError)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        factory.nothing  # noqa: B018


def test_the_reference_of_the_site_has_every_name() -> None:
    page = (Path(__file__).parent.parent / "docs" / "api.md").read_text(encoding="utf-8")
    told = re.findall(r"::: ([\w.]+)\.(\w+)\n    options: {heading: factory\.(\w+), toc_label: factory\.(\w+)}", page)
    assert [heading for *_, heading, _ in told] == [label for *_, label in told] == list(factory._PUBLIC)
    for module, name, heading, _ in told:
        assert pkgutil.resolve_name(f"{module}:{name}") is getattr(factory, heading)
