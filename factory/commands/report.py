"""`report`: a run folder as one page of HTML, alone or beside another run."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from factory.errors import InputError
from factory.files import PathLike
from factory.progress import Silent
from factory.store import open_run
from factory.store.ownership import Record

if TYPE_CHECKING:  # Loaded where a page is made: every run comes through here, and few get as far.
    from factory.exports.report.comparison import Comparison

BY, REPORT = "report", "report.html"


def report(
    run_dir: PathLike, out: PathLike | None = None, *, against: PathLike | None = None, title: str | None = None
) -> Path:
    """Write the report of a run folder to `out`, or to report.html in it; returns its path.

    It reads the run folder alone and leaves out what is not there. `against` is a second run folder, which the page
    then sets beside the first; `title` heads it instead of the folder's name. InputError when a folder holds no run,
    ConfigError where `out` is a file that no report was written to, or one that was changed since.
    """
    if against is not None:
        return Path(compare(run_dir, against, out, title=title).report or "")
    root = _run_folder(run_dir)
    with _page(root, out) as (record, name):
        return report_into(record, root, name, title=title)


def compare(
    run_dir: PathLike, against: PathLike, out: PathLike | None = None, *, title: str | None = None
) -> "Comparison":
    """Set two runs side by side: funnels, lengths, agreement or accuracy, and the pairs that only one of them kept.

    Writes the page as `report` does, and returns what stands in it. Runs on other prompts are compared too, and the
    first of `notes` says that they are not comparable. Errors as for `report`.
    """
    from factory.exports.report.comparison import compare as side_by_side

    root, other = _run_folder(run_dir), _run_folder(against)
    found = side_by_side(root, other)
    with _page(root, out) as (record, name):
        path = report_into(record, root, name, title=title, beside=found)
    return found.model_copy(update={"report": str(path)})


def report_into(
    record: Record, run_dir: Path, name: str = REPORT, *, title: str | None = None, beside: "Comparison | None" = None
) -> Path:
    """Write the report of a run to a file of a folder that is held; a page that was changed is set aside."""
    from factory.exports.report import report_html

    return record.put(name, report_html(run_dir, title=title, beside=beside), BY)


def _run_folder(path: PathLike) -> Path:
    root = Path(path)
    if not (root / "run.json").is_file() and not (root / "filtered").is_dir():
        raise InputError(f"{root} is no run folder (it has neither run.json nor filtered/); give the folder of a run")
    return root


@contextmanager
def _page(root: Path, out: PathLike | None) -> Iterator[tuple[Record, str]]:
    """The record of the folder that the page goes to, which is held, and its name there."""
    path = Path(out) if out is not None else root / REPORT
    # Of whatever folder the page goes to: its record knows whether a file there is a page of ours.
    with open_run(path.parent, Silent()) as folder:
        folder.record.require_free([path.name], BY)
        yield folder.record, path.name
