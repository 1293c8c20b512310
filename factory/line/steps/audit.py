"""The agreement of the kept pairs' labels with a judge of its own."""

from typing import Any

from factory.commands.audit import audit_into
from factory.config import Judge
from factory.errors import ConfigError
from factory.line.steps import Facts, Steps
from factory.stages.asked_models import judge_fingerprint
from factory.store import Stage, Workspace


def inputs(steps: Steps, filtered: Stage) -> Facts:
    """What changes its numbers."""
    judge = judge_fingerprint(_judge(steps), steps.config.engine)
    return {"kept": filtered.digest, "judge": judge, "sample": steps.config.audit.sample, "seed": steps.seed}


def make(steps: Steps, work: Workspace, filtered: Stage) -> dict[str, Any]:
    """Votes of the run's own judges go beside the auditor's."""
    kept, votes = (filtered.folder / f"{name}.parquet" for name in ("kept", "judgments"))
    return audit_into(work, kept, _judge(steps), steps.engines, steps.config, votes)


def _judge(steps: Steps) -> Judge:
    judge = steps.config.audit.judge
    if judge is None:
        raise ConfigError("an audit needs a judge; name it in audit.judge")
    return judge
