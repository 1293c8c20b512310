"""Before a run begins: what can be known to be wrong with it at its end is said now, before anything is paid for."""

from pathlib import Path

import filters
from factory.commands.filter import require_judges
from factory.config import Config, Export
from factory.config.engines import RayEngine
from factory.config.pairs import PAIR_MAKERS
from factory.errors import ConfigError
from factory.exports import exporter
from factory.exports.card.licenses import require_as_strict, require_language, require_license
from factory.exports.destinations.hub import token_for
from factory.exports.destinations.mix import without_benchmarks
from factory.line.tracking import require_trackers
from factory.stages import LINE, stages_of
from factory.stages.asked_models import asked_models, judge_names, remote_models
from factory.stages.audit_sample import check_independent
from factory.stages.judge import distinct_names
from factory.training.conditionals import ObjectiveForm
from filters.base import Filter
from principles import template_of


def preflight(config: Config) -> None:
    """Raise ConfigError or InputError for an engine, exports, filters, judges or an audit that cannot work out."""
    apart, trained = config.training.generator == "separate", config.training.method != "none"
    if config.engine.remote and trained and (apart or config.run.iterations > 1):
        raise ConfigError(
            f"engine {config.engine.inner.kind} goes on asking the untrained model: its server does not get the "
            "trained policy; set training.method: none or run.iterations: 1, or use engine transformers, vllm, or "
            "openai with engine.serve"
        )
    require_trackers("run.report_to", config.run.report_to)
    _check_pairs(config)
    if apart:
        _check_generator(config)
    _check_trained(config)
    if any(one.needs_votes for one in filters.build(config.training.filters)):
        raise ConfigError("training.filters: nobody has voted when training begins; leave filters that need votes out")
    _check_money(config)
    check_export(config.export)
    require_as_strict(config.export.license, {"prompts": config.prompts.license, "policy": config.policy.license})
    require_judges(filters_of(config), config.judges)
    distinct_names(config.judges)
    auditor = config.audit.judge
    for judge in [*config.judges, *([auditor] if auditor else [])]:
        # Read for the error alone: a template that is none would be found out when the first pair is judged.
        template_of("judge", judge.template)
    if auditor is not None and not config.audit.allow_self:
        check_independent(
            auditor,
            [config.policy.model, config.pairs.weaker],
            [name for judge in config.judges for name in judge_names(judge)],
        )


def filters_of(config: Config) -> tuple[Filter, ...]:
    """The configured filters, or the paper's. ConfigError for one that drops all rounds beyond the iterations."""
    blocks = filters.paper(judged=bool(config.judges)) if config.filters is None else config.filters
    if config.prompts.target_pairs is None:
        return filters.build(blocks)
    # The one of the presets, which names no iterations, is left out; one that names some is refused below.
    steps = filters.build([one for one in blocks if one != {"use": "iteration"}])
    if any(step.name == "iteration" for step in steps):
        raise ConfigError(
            "prompts.target_pairs draws rounds beyond the iterations, which this filter iteration drops; "
            "leave that filter out"
        )
    return steps


def _check_pairs(config: Config) -> None:
    """Raise ConfigError where `pairs.from` is no way to make pairs, or cannot do with what else is set."""
    name, pairs = config.pairs.maker, config.pairs
    if name not in PAIR_MAKERS:
        raise ConfigError(f"pairs.from: {PAIR_MAKERS.unknown(name)}")
    method = config.training.method
    unsteered = method != "none" and not pairs.steered
    if unsteered and any(view != "plain" for _, view in ObjectiveForm.of(config.training).needed):
        raise ConfigError(
            f"pairs.from: {name} makes pairs without principles, under which training.method: {method} compares "
            "replies; set training.method to pbaa (the base loss alone), sso_no_g with weight w, or none"
        )
    if name == "delta" and pairs.weak is None:
        raise ConfigError("pairs.from: delta takes the rejected replies from a weaker model; name it in pairs.weak")
    if name == "best_of_n" and pairs.by is None and not config.judges:
        raise ConfigError("pairs.from: best_of_n needs somebody to tell best from worst; name judges, or set pairs.by")
    # Read for the error alone: another package's may be none, or may not import.
    PAIR_MAKERS.load(name)


def _check_generator(config: Config) -> None:
    """Raise ConfigError where no data generator can be made in each iteration."""
    if not config.pairs.steered:
        raise ConfigError(
            f"training.generator: separate steers the generator by principles, and pairs.from: {config.pairs.maker} "
            "has none; set generator: same, or pairs.from: principles"
        )
    if config.prompts.target_pairs is not None:
        raise ConfigError(
            "training.generator: separate has a generator for each iteration, and prompts.target_pairs draws rounds "
            "beyond; leave one of them out"
        )


def check_export(config: Export) -> None:
    """Raise ConfigError for an export that a run could not carry out at its end."""
    for name in config.formats:
        exporter(name)
    without_benchmarks(config.decontaminate)
    require_license(config.license)
    require_language(config.language)
    if config.push_to_hub:
        if len(config.formats) != 1:
            raise ConfigError("export.push_to_hub takes one format, as a data set has one; leave one in export.formats")
        token_for(config.push_to_hub)


def _check_trained(config: Config) -> None:
    """Raise ConfigError for a policy that is known to an API alone, where it has to be loaded here to be trained."""
    model = config.policy.model
    # What can be loaded: a Hub id, a bundled model, a folder; a bare name is one that an API knows.
    here = "/" in model or model.startswith("bundled:") or Path(model).is_dir()
    if config.engine.remote and config.training.method != "none" and not here:
        raise ConfigError(
            f"training.method {config.training.method} scores and trains the policy on this machine, and {model} is a "
            "name that an API knows; set training.method: none, or policy.model to a Hub id or folder"
        )


def _check_money(config: Config) -> None:
    """Raise ConfigError where money is bounded and nobody says what anything costs, or nobody counts it."""
    bounds = {"run.max_cost": config.run.max_cost, "prompts.budget.cost": config.prompts.budget.cost}
    bound = next((key for key, value in bounds.items() if value is not None), None)
    models = remote_models(config)
    blocks = ((one.engine, one.block) for one in asked_models(config))
    over_ray = next((key for key, block in blocks if isinstance(block, RayEngine) and block.remote), None)
    if over_ray and bound:
        raise ConfigError(f"{bound} is not kept over Ray's workers; ask the API from here: {over_ray}.kind openai")
    for key, block, model in ((one.asked.engine, one.block, one.name) for one in models):
        mine = f"{key}.max_cost" if block.max_cost is not None else None
        unknown = block.prices is None and not block.starts_server
        if (bound and unknown) or (mine and not (block.prices and block.prices.money)):
            # A bound of an engine's own on an engine that costs nothing bounds nothing, and says that prices were
            # forgotten.
            free = "" if mine else ", 0 where they are free"
            raise ConfigError(
                f"{mine or bound} needs prices: say what a million tokens of {model} cost under {key}.prices{free}"
            )
    if bound and not any(block.prices and block.prices.money for _, block in models):
        raise ConfigError(f"{bound} needs prices: no engine of this run costs money; give engine.prices, or no bound")


def last_stage(until: str, config: Config) -> str:
    """The stage that `until` names, as `RunFolder.stage` knows it; the last of those in a folder, where it names one.

    Raises ConfigError, which lists them, for a name that no stage of this run has.
    """
    aims = [stage for stage in LINE if stage.an_aim and stage.made_if(config)]
    names, iterations = [stage.name for stage in aims if stage.each_iteration], config.run.iterations
    numbered = until.removeprefix("iterations/").partition("/")
    # As it is: a run stops at the first stage whose path ends with it.
    if until in names or (numbered[2] in names and _made(numbered[0], config)):
        return until
    stages = [stage.path(of) for stage, of in stages_of(config, range(1, iterations + 1)) if stage.an_aim]
    for found in (
        # A stage by its path or the end of it; else the last in a folder called so, with or without the plural.
        [name for name in stages if name == until or name.endswith(f"/{until}")][:1],
        [name for name in stages if name.removeprefix("iterations/").startswith((f"{until}/", f"{until}s/"))][-1:],
    ):
        if found:
            return found[0]
    short = [stage.name for stage in aims]
    short.insert(short.index(names[-1]) + 1, f"{iterations}/{names[-1]}")
    raise ConfigError(f"this run has no stage {until!r}; its stages are {', '.join([*short, *config.export.formats])}")


def _made(number: str, config: Config) -> bool:
    """Whether there may be an iteration, or a further round, of that number."""
    beyond = config.prompts.target_pairs is not None
    return number.isdecimal() and int(number) >= 1 and (beyond or int(number) <= config.run.iterations)
