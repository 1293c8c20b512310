"""The base of every configuration block."""

from pydantic import BaseModel, ConfigDict


class Strict(BaseModel):
    """Base of every configuration block: unknown keys are errors, values do not change after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)
