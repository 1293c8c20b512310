"""float64 where a device has it: Apple's GPUs have none, and refuse a tensor of it."""

import torch
from torch import Tensor


def exact_device(device: torch.device) -> torch.device:
    """Where what is on `device` can be computed in float64: there, or on the CPU."""
    return torch.device("cpu") if device.type == "mps" else device


def exact(tensor: Tensor) -> Tensor:
    """`tensor` in float64, on its `exact_device`."""
    # Moved first: the conversion belongs to the device that knows the type.
    return tensor.to(exact_device(tensor.device)).double()
