"""The package factory_boy is called factory too: what it overwrites is said in one sentence."""

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder of packages with ours in it."""
    for name in ("factory", "filters", "principles"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def run(site: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    """Call the entry point as its script does."""
    entry = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["scripts"]["sso-factory"]
    module, function = entry.split(":")
    code = f"from {module} import {function}; {function}()"
    command = [sys.executable, *flags, "-c", code, "--version"]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=site, env={**os.environ, "PYTHONPATH": str(site)}
    )


def theirs(site: Path, *names: str) -> None:
    for name in names:
        (site / "factory" / name).write_text("# Copyright: See the LICENSE file.\nclass FactoryError(Exception): ...\n")


def test_alone_nothing_is_said(site: Path) -> None:
    done = run(site)
    assert (done.returncode, done.stderr) == (0, "")


def test_where_theirs_was_installed_later_every_command_says_so(site: Path) -> None:
    theirs(site, "__init__.py", "errors.py", "declarations.py")
    done = run(site)
    assert done.returncode == 2
    (said,) = done.stderr.splitlines()
    assert f"{site}/factory/__init__.py and {site}/factory/errors.py are those of the package factory_boy" in said
    assert "an environment of its own" in said


def test_where_theirs_was_removed_again_ours_is_not_whole(site: Path) -> None:
    for name in ("__init__.py", "errors.py"):
        (site / "factory" / name).unlink()
    done = run(site, "-S")  # or the working copy that is installed here would be found instead
    assert done.returncode == 2
    assert "are gone or another package's" in done.stderr
    assert "Traceback" not in done.stderr


def test_where_ours_was_installed_later_it_works_and_says_so(site: Path) -> None:
    theirs(site, "declarations.py")
    done = run(site)
    assert done.returncode == 0
    (said,) = done.stderr.splitlines()
    assert "which sso-factory has written over" in said
