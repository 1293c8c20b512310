"""`report`: a run folder as one page of HTML."""

from pathlib import Path

from factory.errors import InputError
from factory.exports.report import report_html
from factory.progress import Silent
from factory.store import open_run
from factory.store.ownership import Record

BY, REPORT = "report", "report.html"


def report(run_dir: str | Path, out: str | Path | None = None) -> Path:
    """Write the report of a run folder to `out`, or to report.html in it; returns its path.

    It reads the run folder alone and leaves out what is not there. InputError when `run_dir` holds no run, ConfigError
    where `out` is a file that no report was written to, or one that was changed since.
    """
    root = Path(run_dir)
    if not (root / "run.json").is_file() and not (root / "filtered").is_dir():
        raise InputError(f"{root} is no run folder (it has neither run.json nor filtered/); give the folder of a run")
    path = Path(out) if out is not None else root / REPORT
    with open_run(path.parent, Silent()) as folder:
        folder.record.require_free([path.name], BY)
        return report_into(folder.record, root, path.name)


def report_into(record: Record, run_dir: Path, name: str = REPORT) -> Path:
    """Write the report of a run to a file of a folder that is held; a page that was changed is set aside."""
    return record.put(name, report_html(run_dir), BY)
