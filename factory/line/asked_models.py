"""The models that a run asks for text: which they are, what runs each of them, and which account pays for it."""

from typing import NamedTuple

from factory.config import Config, Judge
from factory.config.apis import ApiBlock, ApiEngine
from factory.config.engines import EngineBlock
from factory.engines.api.accounts import ENGINE, WEAK
from factory.engines.api.prices import priced
from factory.line.judges import account_of, judge_block, judge_model
from factory.models.ref import ModelRef


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
        engine = "engine" if block is run else f"{key}.engine"
        found.append(AskedModel(key, engine, block, ModelRef(judge_model(judge)), account_of(judge, run, role), judge))
    return found
