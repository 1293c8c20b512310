"""Before a run begins: what can be known to be wrong with it at its end is said now, before anything is paid for."""

from factory.commands.export_stages import check_export
from factory.commands.filter import require_judges
from factory.config import Config
from factory.errors import ConfigError
from factory.panel import is_remote, judge_names
from factory.stages.audit_sample import check_independent
from factory.stages.judge import distinct_names
from filters import build
from principles import template_of


def preflight(config: Config) -> None:
    """Raise ConfigError or InputError for an engine, exports, filters, judges or an audit that cannot work out."""
    if is_remote(config.engine) and config.training.method != "none" and config.run.iterations > 1:
        raise ConfigError(
            "engine openai goes on asking the untrained model: its server does not get the trained policy; "
            "set training.method: none or run.iterations: 1, or use engine transformers or vllm"
        )
    check_export(config.export)
    if config.filters is not None:
        require_judges(build(config.filters), config.judges)
    distinct_names(config.judges)
    auditor = config.audit.judge
    for judge in [*config.judges, *([auditor] if auditor else [])]:
        template_of("judge", judge.template)
    if auditor is not None and not config.audit.allow_self:
        check_independent(
            auditor, [config.policy.model], [name for judge in config.judges for name in judge_names(judge)]
        )
