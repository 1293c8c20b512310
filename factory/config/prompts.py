"""The `prompts:` block of a configuration: where prompts come from, how many are used, and when drawing ends."""

from typing import Any

from pydantic import Field, model_validator

from factory.strict import Strict


class Budget(Strict):
    """What a run may use in all for `target_pairs`; null is no bound."""

    requests: int | None = Field(None, ge=1)
    """Answers of policy and judges."""
    tokens: int | None = Field(None, ge=1)
    """Prompt and completion tokens of policy and judges."""
    cost: float | None = Field(None, gt=0)
    """Money, by the engines' prices."""


class Prompts(Strict):
    """Where prompts come from."""

    paths: list[str] = Field(min_length=1)
    """Files or folders (Parquet, JSONL, JSON, CSV, each also gzipped or as `.zst`; .txt: a prompt per line), or a Hub
    dataset id.

    A relative path is taken from the configuration file's folder when it exists there, else from the current folder."""
    columns: dict[str, str] = Field(default_factory=dict)
    """Role to column, where names do not say it: {prompt: query, system: rules}."""
    limit: int | None = Field(None, ge=1)
    """Use at most this many, the same ones whatever the order of the file (lowest seeded hash first)."""
    target_pairs: int | None = Field(None, ge=1)
    """Go on drawing prompts until at least this many pairs pass the filters; null takes every prompt.

    Each iteration takes `per_round` prompts, in the order of a seeded hash. Then further rounds take as many each: the
    last policy answers, nothing is trained, and all pairs so far are filtered together. Rounds end when enough pairs
    pass, the prompts run out, the next round would go over `budget`, or three rounds in a row add no pair; what ended
    them is said. A round counts as an iteration in tables and folders. Raising it later goes on from where the run
    ended, where `per_round` is given."""
    per_round: int | None = Field(None, ge=1)
    """Prompts of each iteration and round under `target_pairs`; null: target_pairs / iterations, rounded up."""
    budget: Budget = Budget()
    """Bounds the further rounds of `target_pairs`: none is begun that, going by the mean use per prompt so far, would
    end above it. The iterations themselves are always made."""
    license: str | None = None
    """Licence of the prompts, for the dataset card."""

    @model_validator(mode="before")
    @classmethod
    def _one_path(cls, value: Any) -> Any:
        if isinstance(value, str):
            value = {"paths": [value]}
        # Both keys stay where both are given, so that the one that is unknown is refused.
        if isinstance(value, dict) and "path" in value and "paths" not in value:
            value = {**{k: v for k, v in value.items() if k != "path"}, "paths": value["path"]}
        # A text is a sequence of letters, each of which would be taken for a path.
        if isinstance(value, dict) and isinstance(value.get("paths"), str):
            value = {**value, "paths": [value["paths"]]}
        return value
