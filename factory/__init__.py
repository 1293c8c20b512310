"""sso-factory: synthetic preference data by Self-Steering Optimization.

Every command of the command line is one function here, taking plain values or configuration models and returning
frames, paths and small records. They are looked up on first use, so that importing the package costs nothing.
"""

import pkgutil
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # What editors and type checkers see; at run time each is looked up on first use, below.
    from factory.commands.answers import answers as answers
    from factory.commands.audit import audit as audit
    from factory.commands.check_data import check_data as check_data
    from factory.commands.estimate import estimate as estimate
    from factory.commands.explain import explain as explain
    from factory.commands.export import export as export
    from factory.commands.filter import filter_pairs
    from factory.commands.init import init as init
    from factory.commands.look import look as look
    from factory.commands.report import compare as compare
    from factory.commands.report import report as report
    from factory.commands.review import review as review
    from factory.commands.reward import reward_score as reward_score
    from factory.commands.reward import reward_train as reward_train
    from factory.commands.status import status as status
    from factory.commands.trace import trace as trace
    from factory.commands.train import train as train
    from factory.config.load import load_config as load_config
    from factory.errors import ConfigError as ConfigError
    from factory.errors import EngineError as EngineError
    from factory.errors import FactoryError as FactoryError
    from factory.errors import InputError as InputError
    from factory.errors import InterruptedRunError as InterruptedRunError
    from factory.errors import MissingExtraError as MissingExtraError
    from factory.errors import StoreError as StoreError
    from factory.errors import TrainingError as TrainingError
    from factory.exports.facts.bill import bill as bill
    from factory.line.checking import check as check
    from factory.pipeline import run as run
    from factory.readers import load_pairs as load_pairs
    from factory.runs.forecast import plan as plan
    from factory.runs.reproduce import reproduce as reproduce

    filter = filter_pairs

__version__ = "0.1.0"

_PUBLIC = {
    "init": "factory.commands.init:init",
    "run": "factory.pipeline:run",
    "check": "factory.line.checking:check",
    "plan": "factory.runs.forecast:plan",
    "status": "factory.commands.status:status",
    "bill": "factory.exports.facts.bill:bill",
    "look": "factory.commands.look:look",
    "filter": "factory.commands.filter:filter_pairs",
    "audit": "factory.commands.audit:audit",
    "estimate": "factory.commands.estimate:estimate",
    "export": "factory.commands.export:export",
    "check_data": "factory.commands.check_data:check_data",
    "answers": "factory.commands.answers:answers",
    "explain": "factory.commands.explain:explain",
    "report": "factory.commands.report:report",
    "compare": "factory.commands.report:compare",
    "trace": "factory.commands.trace:trace",
    "reproduce": "factory.runs.reproduce:reproduce",
    "train": "factory.commands.train:train",
    "review": "factory.commands.review:review",
    "reward_train": "factory.commands.reward:reward_train",
    "reward_score": "factory.commands.reward:reward_score",
    "load_pairs": "factory.readers:load_pairs",
    "load_config": "factory.config.load:load_config",
    "FactoryError": "factory.errors:FactoryError",
    "ConfigError": "factory.errors:ConfigError",
    "InputError": "factory.errors:InputError",
    "MissingExtraError": "factory.errors:MissingExtraError",
    "EngineError": "factory.errors:EngineError",
    "StoreError": "factory.errors:StoreError",
    "TrainingError": "factory.errors:TrainingError",
    "InterruptedRunError": "factory.errors:InterruptedRunError",
}
__all__ = ["__version__", *_PUBLIC]


# Called by Python for a name that the module does not have (PEP 562), each time: nothing is stored, so that a test
# which replaces a function where it is defined replaces it here too.
def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'factory' has no attribute {name!r}")
    return pkgutil.resolve_name(_PUBLIC[name])


def __dir__() -> list[str]:
    return sorted(__all__)
