"""What transformers and peft would say by themselves, kept off the terminal."""

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr

from transformers.utils import logging as transformers_logging


@contextmanager
def unnoticed() -> Iterator[None]:
    """None of transformers' bars and notices while the block runs."""
    level, bars = transformers_logging.get_verbosity(), transformers_logging.is_progress_bar_enabled()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(level)
        if bars:
            transformers_logging.enable_progress_bar()


@contextmanager
def quiet() -> Iterator[None]:
    """Nothing on the terminal while a model is read or written."""
    # Standard error too: the bar of the GGUF reader knows no switch.
    with unnoticed(), redirect_stderr(io.StringIO()):
        yield


@contextmanager
def quiet_peft() -> Iterator[None]:
    """Without the warning that peft asks transformers by a name it has moved on from."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        yield
