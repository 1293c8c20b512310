"""Imports point down, and importing a package loads nothing heavy."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

FLOORS = (
    ("factory.__main__",),
    ("factory.cli",),
    ("factory.terminal.options",),
    (
        "factory.terminal.comparison",
        "factory.terminal.schemas",
        "factory.terminal.show_training",
    ),
    ("factory.runs", "factory.terminal.show"),
    ("factory.pipeline",),
    ("factory.pair_makers",),
    ("factory.line",),
    ("factory.commands",),
    ("factory.exports.report",),
    ("factory.exports.card",),
    (
        "factory.reward",
        "factory.reviewing",
        "factory.exports.check",
        "factory.exports.destinations",
        "factory.exports.eval_files",
    ),
    ("factory.exports.pages",),
    ("factory.exports.facts",),
    ("factory.stages", "factory.training", "factory.exports"),
    (
        "factory.engines",
        "factory.store",
        "factory.readers",
        "factory.config.load",
        "factory.terminal",
    ),
    ("factory.readers.table",),
    ("factory.readers.layouts",),
    ("factory.readers.columns",),
    ("factory.readers.inputs",),
    ("factory.readers.cells",),
    ("factory.readers.names", "factory.readers.messages", "factory.readers.how", "factory.readers.reading"),
    ("factory.models",),
    ("filters", "principles", "factory.statistics"),
    (
        "factory.schema",
        "factory.config",
        "factory.strict",
    ),
)
GROUND = (
    "factory.errors",
    "factory.registry",
    "factory.identity",
    "factory.progress",
    "factory.files",
    "factory.engines.base",
    "factory",
)
"""What every floor may import: the vocabulary."""

HEAVY = (
    "torch",
    "transformers",
    "vllm",
    "openai",
    "datasets",
    "ray",
    "trl",
    "matplotlib",
    "pandas",
    "scipy",
    "genai_prices",
)

SOURCES = [path for folder in ("factory", "filters", "principles") for path in sorted((ROOT / folder).rglob("*.py"))]


def module(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module(path) for path in SOURCES}


def floor(name: str) -> int | None:
    """Height of the longest listed prefix of a module name; the ground is the lowest."""
    best, found = "", None
    for height, members in enumerate(reversed((*FLOORS, GROUND))):
        for member in members:
            if (name == member or name.startswith(member + ".")) and len(member) > len(best):
                best, found = member, height
    return found


def imports(path: Path) -> list[str]:
    """Modules of ours that a file imports anywhere in it, type-checking blocks left out."""
    found: list[str] = []

    def visit(node: ast.AST) -> None:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            return
        if isinstance(node, ast.ImportFrom) and node.module:
            base = node.module
            for alias in node.names:
                inner = f"{base}.{alias.name}"
                found.append(inner if inner in MODULES else base)
        elif isinstance(node, ast.Import):
            found.extend(alias.name for alias in node.names)
        for child in ast.iter_child_nodes(node):
            visit(child)

    visit(ast.parse(path.read_text(encoding="utf-8")))
    return [name for name in found if name.split(".")[0] in ("factory", "filters", "principles")]


@pytest.mark.parametrize("path", SOURCES, ids=module)
def test_imports_point_down(path: Path) -> None:
    here = floor(module(path))
    assert here is not None, f"{module(path)} stands on no floor"
    for name in imports(path):
        there = floor(name)
        assert there is not None
        assert there <= here, f"{module(path)} imports {name}, which stands above it"


def room(name: str) -> str:
    """The folder that a module lies in, or the module itself at the top; `factory`, the package, shows all rooms."""
    parts = name.split(".")
    return ".".join(parts[: 1 + (parts[0] == "factory")])


def test_no_two_rooms_import_each_other() -> None:
    between = {(room(module(path)), room(name)) for path in SOURCES for name in imports(path)}
    assert not {pair for pair in between if pair[0] < pair[1] and pair[::-1] in between and "factory" not in pair}


@pytest.mark.parametrize("package", ["factory", "filters", "principles", "factory.cli"])
def test_importing_loads_nothing_heavy(package: str) -> None:
    code = f"import sys, {package}; print(*sorted({HEAVY!r} & sys.modules.keys()))".replace(
        repr(HEAVY), repr(set(HEAVY))
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.split() == []


def test_files_stay_small() -> None:
    for path in SOURCES:
        lines = path.read_text(encoding="utf-8").splitlines()
        assert len(lines) <= 300, f"{path} has {len(lines)} lines"


def test_every_room_is_in_the_wheel() -> None:
    """Without __init__.py it is no package to the docs; the wheel, ruff and mypy leave out what .gitignore names."""
    ignored = {line.strip("/") for line in (ROOT / ".gitignore").read_text("utf-8").split() if not line.startswith("/")}
    for room in {path.parent for path in SOURCES if path.is_relative_to(ROOT)}:
        parts = room.relative_to(ROOT).parts
        if parts[0] in ("factory", "filters", "principles"):
            assert (room / "__init__.py").is_file(), f"{room} has no __init__.py"
            assert not ignored & set(parts), f".gitignore names {room}; begin its line with a slash"


def test_tests_lie_as_the_source_does() -> None:
    """A room's tests in a room of its name; beside the rooms, tests of modules that lie there too."""
    source, tests = ROOT / "factory", ROOT / "tests/factory"
    beside = {path.stem.strip("_") for path in source.glob("*.py")}
    for path in tests.rglob("test_*.py"):
        room = path.parent.relative_to(tests)
        assert (source / room).is_dir(), f"{path}: there is no factory/{room}"
        assert room.parts or path.stem.split("_")[1] in beside, f"{path}: no module of factory/ alone has its name"


def test_a_file_of_tests_has_one_subject() -> None:
    """Beyond so many lines there were always two."""
    for path in (ROOT / "tests").rglob("*.py"):
        lines = len(path.read_text(encoding="utf-8").splitlines())
        assert lines <= 500, f"{path} has {lines} lines; split it by what its tests claim"


def code_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of what a function does: its parameters and its docstring left out."""
    first = function.body[0]
    documented = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and len(function.body) > 1
    return (function.end_lineno or 0) - function.body[1 if documented else 0].lineno + 1


def test_functions_stay_small() -> None:
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                assert code_lines(node) <= 40, f"{path}: {node.name} has {code_lines(node)} lines"


def test_no_public_class_name_stands_for_two_things() -> None:
    where: dict[str, str] = {}
    for path in SOURCES:
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                assert node.name not in where, f"{node.name} is in {where[node.name]} and in {module(path)}"
                where[node.name] = module(path)


def test_no_path_is_read_as_a_pattern() -> None:
    """To polars `run[1]/kept.parquet` is a pattern, which `run1/kept.parquet` fits: the table of another run."""
    called = [
        (path, node)
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and ast.unparse(node.func) in ("pl.scan_parquet", "pl.read_parquet", "pl.read_parquet_schema")
    ]
    named = [(path, node) for path, node in called if "BytesIO" not in ast.unparse(node)]
    assert len(named) > 20
    loose = [(path.name, node.lineno) for path, node in named if "glob=False" not in ast.unparse(node)]
    assert loose == []
