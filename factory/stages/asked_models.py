"""The models that are asked for text: what runs each, what decides its answers, who pays; and the judges, opened."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from factory.config import Config, Judge
from factory.config.apis import ApiBlock, ApiEngine, OpenaiEngine
from factory.config.engines import EngineBlock, TransformersEngine
from factory.engines.api.accounts import ENGINE, WEAK
from factory.engines.api.spending import priced
from factory.models.ref import ModelRef
from factory.stages.judge import BY_FEATURE, JudgeWithEngine
from factory.stages.pool import EnginePool
from factory.store.journal import Journal
from principles import template_of


def judge_block(judge: Judge, run_engine: EngineBlock | None) -> EngineBlock:
    """The engine a judge runs on.

    Its own block if it has one. Otherwise a scripted run stays scripted, a model that lies on this machine or on the
    Hub (`bundled:…`, a folder, `org/name`) runs on the run's engine, and any other name is asked of an API.
    """
    if judge.engine is not None:
        return judge.engine
    if run_engine is not None and run_engine.inner.kind == "scripted":
        return run_engine
    model = judge_model(judge)
    # No list of names is kept: a slash or a folder is what a Hub id or a path has, and a vendor's name has not.
    if model.startswith("bundled:") or "/" in model or Path(model).is_dir():
        return run_engine or TransformersEngine()
    return OpenaiEngine()


def judge_model(judge: Judge) -> str:
    """The model behind a judge: its own name where `model` is not given."""
    return judge.model or judge.name


def judge_ref(judge: Judge, run_engine: EngineBlock | None) -> ModelRef:
    """The same as an engine is told it: by its content where it lies in a folder that is loaded from here."""
    name = judge_model(judge)
    return ModelRef(name) if judge_block(judge, run_engine).remote else ModelRef.by_content(name)


def judge_names(judge: Judge) -> list[str]:
    """What a judge and its model are called."""
    return [judge.name, judge_model(judge)]


_ADDED = ("kept_sample", "criterion")
"""Keys that judges have had only since run folders were about; at their default they change no vote."""


def judge_fingerprint(judge: Judge, run_engine: EngineBlock | None) -> dict[str, object]:
    """What decides a judge's votes. Keys added later count where they are set, so that older run folders still fit."""
    block = judge_block(judge, run_engine)
    template = template_of("judge", judge.template).digest
    # As if they were not there: a fingerprint of before has no such keys, and its votes stay valid.
    default = [name for name in _ADDED if getattr(judge, name) == Judge.model_fields[name].default]
    own = judge.model_dump(mode="json", exclude={"engine", "license", "template", *default})
    named = {} if judge.criterion is None else {"criterion": template_of(BY_FEATURE, BY_FEATURE).digest}
    known = judge_ref(judge, run_engine).fingerprint
    content = {"content": known} if known else {}
    return {**own, **named, "template": template, "engine": block.fingerprint, **content}


def account_of(judge: Judge, run_engine: EngineBlock | None, role: str) -> str:
    """Which account pays for a judge: the run engine's, where it runs on that, else one of its own."""
    return ENGINE if judge_block(judge, run_engine) is run_engine else f"{role} {judge.name}"


def open_judges(
    judges: Sequence[Judge], run_engine: EngineBlock | None, engines: EnginePool, journal: Journal, role: str = "judge"
) -> list[JudgeWithEngine]:
    """The judges with their engines, each opened when its turn comes; one on an engine of its own pays by itself."""
    found = []
    for judge in judges:
        block, model = judge_block(judge, run_engine), judge_ref(judge, run_engine)
        account = account_of(judge, run_engine, role)
        engine = engines.generator(block, model, journal, f"judge {judge.name}", account)
        found.append(JudgeWithEngine(judge, engine))
    return found


class AskedModel(NamedTuple):
    """A model in one of its roles."""

    key: str
    """The role, as the configuration calls it: `policy`, `pairs.weak`, `judges.0`, `audit.judge`."""
    engine: str
    """The key of the block that runs it."""
    block: EngineBlock
    ref: ModelRef
    account: str
    judge: Judge | None = None


class RemoteModel(NamedTuple):
    """One that is asked over HTTP, from here."""

    asked: AskedModel
    block: ApiBlock
    """Its engine's, with prices where they are known."""

    @property
    def name(self) -> str:
        """What the server knows it as."""
        return self.block.model or self.asked.ref.name


def remote_models(config: Config) -> list[RemoteModel]:
    """Those of `asked_models` behind an API, or behind a server that is started for the run."""
    found = [(one, one.block) for one in asked_models(config)]
    return [RemoteModel(one, priced(block, one.ref.name)) for one, block in found if isinstance(block, ApiEngine)]


def asked_models(config: Config) -> list[AskedModel]:
    """Every one, in the order of the configuration."""
    fold, run, pairs = config.policy.system_role == "fold", config.engine, config.pairs
    found = [AskedModel("policy", "engine", run, ModelRef(config.policy.model, fold_system=fold), ENGINE)]
    if pairs.weaker is not None:
        key, account = ("pairs.weak_engine", WEAK) if pairs.weak_engine else ("engine", ENGINE)
        found.append(AskedModel("pairs.weak", key, pairs.weak_engine or run, ModelRef(pairs.weaker), account))
    judges = [(f"judges.{number}", "judge", judge) for number, judge in enumerate(config.judges)]
    judges += [("audit.judge", "audit", config.audit.judge)] if config.audit.judge else []
    for key, role, judge in judges:
        block = judge_block(judge, run)
        # Identity, as account_of has it: an equal block of a judge's own is paid for apart.
        engine = "engine" if block is run else f"{key}.engine"
        found.append(AskedModel(key, engine, block, ModelRef(judge_model(judge)), account_of(judge, run, role), judge))
    return found
