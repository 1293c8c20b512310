"""A device that is not there: its numbers come from the CPU, and what such a device refuses is refused.

Tensors say that they lie on `mps`, the device of Apple's GPUs: it has no float64, and to the code it is any GPU.
Attention gives the memory order of CUDA's kernel for float32. A function that takes tensors from here and from there is
an error, as with every real device.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves, tree_map

ELSEWHERE = torch.device("mps", 0)
INDEXING = (Tensor.__getitem__, Tensor.__setitem__)
"""Their indices may lie on the CPU, wherever the rest is."""


class Elsewhere(Tensor):
    """A tensor on the device that is not there, around one on the CPU."""

    inner: Tensor

    @staticmethod
    def __new__(cls, inner: Tensor) -> "Elsewhere":
        if inner.dtype == torch.float64:
            raise TypeError("Cannot convert a MPS Tensor to float64 dtype as the MPS framework doesn't support float64")
        made = Tensor._make_wrapper_subclass(
            cls, inner.shape, strides=inner.stride(), dtype=inner.dtype, device=ELSEWHERE
        )
        made.inner = inner
        return made

    @classmethod
    def __torch_dispatch__(cls, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        raise RuntimeError(f"{function} ran outside of elsewhere()")


class _Functions(TorchFunctionMode):
    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if getattr(function, "__name__", "") == "__get__" and not isinstance(found := function(*args), Tensor):
            return found  # what a tensor says of itself: its device, its shape
        given = [one for one in tree_leaves((args, kwargs)) if isinstance(one, Tensor)]
        there = {id(one.inner): one for one in given if isinstance(one, Elsewhere)}
        args, kwargs, target = _target(function, args, kwargs)
        away = bool(there) if target is None else target == ELSEWHERE.type
        moves = target is not None or function is Tensor.copy_
        if function is Tensor.copy_:
            away = isinstance(args[0], Elsewhere)
        asked = args[:1] if function in INDEXING else given
        if there and not moves and any(one.dim() and not isinstance(one, Elsewhere) for one in asked):
            raise RuntimeError(f"{function.__name__}: expected all tensors on one device, found {ELSEWHERE} and cpu")
        args, kwargs = tree_map(lambda one: one.inner if isinstance(one, Elsewhere) else one, (args, kwargs))
        found = function(*args, **kwargs)
        if not away:
            return found
        if function is nn.functional.scaled_dot_product_attention:
            # As the meta kernel of _scaled_dot_product_efficient_attention declares it, the one for float32 and a mask.
            found = found.transpose(1, 2).contiguous().transpose(1, 2)
        # What an operation in place gives back is the very tensor that it was given.
        wrapped = lambda one: there[id(one)] if id(one) in there else Elsewhere(one)  # noqa: E731
        return tree_map(lambda one: wrapped(one) if isinstance(one, Tensor) else one, found)


def _target(function: Any, args: Any, kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any], str | None]:
    """The arguments without the device that is named in them, and that device's type."""
    if function is Tensor.cpu:
        return args, kwargs, "cpu"
    if function is Tensor.to and isinstance(args[-1], Tensor) and len(args) == 2:
        args = (args[0], args[1].device, args[1].dtype)
    places = [*args, *kwargs.values()] if function is Tensor.to else [kwargs.get("device")]
    devices = [one for one in places if isinstance(one, torch.device) or (isinstance(one, str) and one)]
    if not devices:
        return args, kwargs, None
    kind = torch.device(devices[0]).type
    if kind == ELSEWHERE.type:
        args = tuple("cpu" if one is devices[0] else one for one in args)
        kwargs = {name: "cpu" if one is devices[0] else one for name, one in kwargs.items()}
    return args, kwargs, kind


def moved(model: nn.Module) -> nn.Module:
    """The model on the device that is not there, as `to` would put it."""
    for module in model.modules():
        for name, parameter in list(module._parameters.items()):
            if parameter is not None:
                module._parameters[name] = nn.Parameter(Elsewhere(parameter.data), requires_grad=False)
        for name, buffer in list(module._buffers.items()):
            if buffer is not None:
                module._buffers[name] = Elsewhere(buffer)
    return model


@contextmanager
def elsewhere() -> Iterator[None]:
    """While it lasts, the device can be named."""
    with _Functions():
        yield
