"""sso-factory: synthetic preference data by Self-Steering Optimization.

Every command of the command line is one function here, taking plain values or configuration models and returning
frames, paths and small records. They are looked up on first use, so that importing the package costs nothing.
"""

import pkgutil
from typing import Any

__version__ = "0.1.0"

_FUNCTIONS = {
    "init": "factory.commands.init:init",
    "run": "factory.pipeline:run",
    "plan": "factory.forecast:plan",
    "status": "factory.commands.status:status",
    "filter": "factory.commands.filter:filter_pairs",
    "audit": "factory.commands.audit:audit",
    "export": "factory.commands.export:export",
    "report": "factory.commands.report:report",
    "train": "factory.commands.train:train",
    "reward_train": "factory.commands.reward:reward_train",
    "reward_score": "factory.commands.reward:reward_score",
    "load_pairs": "factory.readers:load_pairs",
    "load_config": "factory.load:load_config",
}
__all__ = ["__version__", *_FUNCTIONS]


def __getattr__(name: str) -> Any:
    if name not in _FUNCTIONS:
        raise AttributeError(f"module 'factory' has no attribute {name!r}")
    return pkgutil.resolve_name(_FUNCTIONS[name])


def __dir__() -> list[str]:
    return sorted(__all__)
