"""A model's own dropout, off while it trains: policy and reference are then one function before the first step."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from torch import nn
from torch.nn.modules.dropout import _DropoutNd

from factory.models.sequences import unwrapped


class _Rate(NamedTuple):
    """A share that is dropped: an attribute of a layer or of a configuration."""

    holder: Any
    name: str
    value: float


@contextmanager
def dropout(model: nn.Module, on: bool) -> Iterator[None]:
    """Without `on`, no part of `model` drops anything while the block runs; an adapter's own dropout stays as it is.

    Layers hold their rates as modules, as numbers, or read them off the configuration at each pass, so all three are
    set to 0. Afterwards they are as they were: the policy is saved with the configuration it came with.
    """
    rates = [] if on else list(_rates(unwrapped(model)))
    for rate in rates:
        setattr(rate.holder, rate.name, 0.0)
    try:
        yield
    finally:
        for rate in rates:
            setattr(rate.holder, rate.name, rate.value)


def _rates(model: nn.Module) -> Iterator[_Rate]:
    configs = {}
    for path, module in model.named_modules():
        if "lora_dropout" in path.split("."):
            continue
        if isinstance(module, _DropoutNd):
            yield _Rate(module, "p", module.p)
        yield from _numbers(module)
        config = getattr(module, "config", None)
        if config is not None:
            # By identity: every layer holds the same object, and a rate noted twice would be put back as 0.
            configs[id(config)] = config
    for config in configs.values():
        yield from _numbers(config)


def _numbers(holder: Any) -> Iterator[_Rate]:
    # By name, as models call it attention_dropout, resid_pdrop, drop_path_rate and more; a float that is 0 needs
    # nothing.
    for name, value in list(vars(holder).items()):
        if "drop" in name and isinstance(value, float) and value:
            yield _Rate(holder, name, value)
