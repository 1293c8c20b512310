"""The base of every configuration block."""

from pydantic import BaseModel, ConfigDict


class Strict(BaseModel):
    """Base of every configuration block: unknown keys, NaN and infinity are errors; values stay as they were loaded."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, allow_inf_nan=False)
