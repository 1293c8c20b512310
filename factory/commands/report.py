"""`report`: a run folder as one page of HTML."""

from pathlib import Path

from factory.errors import InputError
from factory.exports.report import report_html
from factory.store import write_text


def report(run_dir: str | Path, out: str | Path | None = None) -> Path:
    """Write the report of a run folder to `out`, or to report.html in it; returns its path.

    It reads the run folder alone and leaves out what is not there. InputError when `run_dir` holds no run.
    """
    root = Path(run_dir)
    if not (root / "run.json").is_file() and not (root / "filtered").is_dir():
        raise InputError(f"{root} is no run folder (it has neither run.json nor filtered/); give the folder of a run")
    path = Path(out) if out is not None else root / "report.html"
    write_text(path, report_html(root))
    return path
