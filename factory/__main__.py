"""Where the command begins: whether this package is whole is looked at before anything of it is used.

The package factory_boy installs a `factory` as well. In one environment the one that was installed later has written
over `factory/__init__.py` and `factory/errors.py` of the other.
"""

import signal
import sys
from pathlib import Path

# Read as text, not imported: whichever package's they are, importing them is what fails.
_SHARED = ("__init__.py", "errors.py")
_THEIRS = "declarations.py"
_OWN = "sso-factory"
_MEND = "give sso-factory an environment of its own and install it there again"


def mixed(folder: Path) -> tuple[str, bool] | None:
    """What is to be said of the package in `folder`, and whether it can be used; None where it is whole and alone."""
    theirs = (folder / _THEIRS).is_file()
    broken = [name for name in _SHARED if _OWN not in _text(folder / name)]
    if broken:
        whose = "are those of the package factory_boy" if theirs else "are gone or another package's"
        files = " and ".join(str(folder / name) for name in broken)
        return f"{files} {whose}, which is called factory as well; {_MEND}", False
    if theirs:
        return f"{folder} holds files of the package factory_boy too, which sso-factory has written over; {_MEND}", True
    return None


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""


def main() -> None:
    """Run the command line, or say in one sentence whose files lie in its place."""
    found = mixed(Path(__file__).parent)
    if found is not None:
        said, usable = found
        sys.stderr.write(f"sso-factory: {said}\n")
        if not usable:
            raise SystemExit(2)
    try:
        from factory.cli import main as command
    except KeyboardInterrupt:  # in the tenths of a second before the command line is there to say it
        raise SystemExit(130) from None
    try:
        command()
    finally:
        # All is said: a further Ctrl-C, while Python closes what is loaded, would end it in a traceback.
        signal.signal(signal.SIGINT, signal.SIG_IGN)


if __name__ == "__main__":
    main()
