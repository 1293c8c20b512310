"""The `engine:` block of a configuration: one class per engine, told apart by `kind`."""

from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import BeforeValidator, Field, field_validator, model_validator

from factory.config.apis import ApiBlock, EngineBase, OpenaiEngine
from factory.identity import model_fingerprint
from factory.registry import Registry

ENGINES = Registry(
    "engine",
    "sso_factory.engines",
    {
        "transformers": "factory.engines.transformers:TransformersModel",
        "vllm": "factory.engines.vllm:VllmModel",
        "openai": "factory.engines.api.engine:ApiGenerator",
        "anthropic": "factory.engines.api.engine:ApiGenerator",
        "gemini": "factory.engines.api.engine:ApiGenerator",
        # An openai block with `serve`: a kind of running it, which no configuration names.
        "served": "factory.engines.api.served:ServedGenerator",
        "ray": "factory.engines.ray:RayModel",
        "scripted": "factory.engines.scripted:ScriptedModel",
    },
    # By name: issubclass refuses a Protocol with properties, such as Engine's identity.
    lambda part: all(hasattr(part, name) for name in ("identity", "count_tokens", "generate", "close")),
    "class with the methods of factory.engines.base.Engine",
)
"""Class of each engine, by `EngineBase.runner`: constructed with (block, model), ended with close()."""


class TransformersEngine(EngineBase):
    """transformers in this process, CPU or one GPU."""

    decides = ("kind", "dtype")

    kind: Literal["transformers"] = "transformers"
    # No Literal: torch numbers its devices, and knows kinds that we do not.
    device: str = "auto"
    """auto, cpu, cuda, cuda:1, mps."""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """auto: float32 on CPU, bfloat16 on a GPU."""
    batch_tokens: int = Field(16384, ge=1)
    """Most tokens (padding and reply room included) in one batch."""


class VllmEngine(EngineBase):
    """vLLM, offline, in a process of its own."""

    decides = ("kind", "dtype", "quantization", "lora", "options")

    kind: Literal["vllm"] = "vllm"
    dtype: str = "auto"
    """As vLLM's dtype."""
    tensor_parallel_size: int = Field(1, ge=1)
    """GPUs one copy of the model is split over."""
    pipeline_parallel_size: int = Field(1, ge=1)
    """Stages the layers are split into."""
    gpu_memory_utilization: float | None = Field(None, gt=0, le=1)
    """Share of GPU memory vLLM may take; null is vLLM's default."""
    max_model_len: int | None = Field(None, ge=1)
    """Context length to reserve room for; null is the model's own."""
    quantization: str | None = None
    """As vLLM's quantization."""
    lora: str | None = None
    """Folder of a LoRA adapter to serve."""
    enforce_eager: bool = False
    """Skip CUDA graphs."""
    per_request_seeds: bool | None = None
    """Send each request its own seed; null: on a GPU yes, on the CPU build (which crashes on them) no."""
    options: dict[str, Any] = Field(default_factory=dict)
    """Further arguments to vllm.EngineArgs, as they are."""

    @property
    def fingerprint(self) -> dict[str, Any]:
        """As of every engine, the adapter by what is in it: one that is trained again lies in the same folder."""
        adapter = Path(self.lora or "")
        return super().fingerprint | ({"lora": model_fingerprint(adapter)} if self.lora and adapter.is_dir() else {})


class ScriptedEngine(EngineBase):
    """Answers without a model: from a script, or made up from the request's own hash. For tests and dry runs."""

    decides = ("kind", "script")

    kind: Literal["scripted"] = "scripted"
    script: str | None = None
    """JSONL of {"text": …} in the order asked; the engine fails when it runs out. null: made-up answers without end."""
    delay: float = Field(0.0, ge=0)
    """Seconds each answer takes, to try out resuming."""


class RayEngine(EngineBase):
    """Ray Data over actors, each holding one of the other engines."""

    kind: Literal["ray"] = "ray"
    engine: Annotated[TransformersEngine | VllmEngine | OpenaiEngine | ScriptedEngine, Field(discriminator="kind")] = (
        TransformersEngine()
    )
    """The engine in each actor."""
    address: str | None = None
    """Cluster to join; null starts Ray on this machine."""
    concurrency: int = Field(1, ge=1)
    """Number of actors."""
    num_gpus: float = Field(0, ge=0)
    """GPUs per actor."""
    num_cpus: float = Field(1, gt=0)
    """CPUs per actor."""
    block_size: int = Field(64, ge=1)
    """Requests per block; a lost worker costs at most its block."""

    @model_validator(mode="after")
    def _no_servers(self) -> "RayEngine":
        if isinstance(self.engine, OpenaiEngine) and self.engine.starts_server:
            raise ValueError("serve starts a server on one machine; on Ray let each actor hold vLLM: engine.kind vllm")
        # Each actor would count what it spends itself, and none what all of them do.
        if isinstance(self.engine, OpenaiEngine) and self.engine.max_cost is not None:
            raise ValueError("no max_cost is kept over Ray's workers; ask the API from here: engine.kind openai")
        return self

    @property
    def inner(self) -> EngineBase:
        """The one in each actor."""
        return self.engine

    @property
    def remote(self) -> bool:
        """Whether the actors ask a server."""
        return self.engine.remote

    @property
    def fingerprint(self) -> dict[str, Any]:
        """The inner engine's: Ray changes where the work is done, not what comes of it."""
        return self.engine.fingerprint


class PluginEngine(EngineBase):
    """An engine of another package: `kind` may be its name, and its options stand beside it like those of ours."""

    decides = ("kind", "name", "options")

    kind: Literal["plugin"] = "plugin"
    name: str
    """Name of its entry point in the group sso_factory.engines."""
    options: dict[str, Any] = Field(default_factory=dict)
    """What it is told, as it says."""

    @field_validator("name")
    @classmethod
    def _there_is_one(cls, value: str) -> str:
        # Not in ENGINES: ours have blocks of their own, in which a misspelt option is found.
        if value not in ENGINES.others:
            raise ValueError(ENGINES.unknown(value))
        return value

    @property
    def runner(self) -> str:
        """Its name."""
        return self.name


def engine_block(value: Any) -> Any:
    """An engine as it may be written, a text alone for its kind, in full; one of another package as `plugin`."""
    value = {"kind": value} if isinstance(value, str) else value
    kind = value.get("kind") if isinstance(value, dict) else None
    # Ours first: entry points are looked for only where the name is none of ours, as that reads every package's.
    if not isinstance(kind, str) or kind in _KINDS or kind not in ENGINES.others:
        return value
    options = {key: given for key, given in value.items() if key != "kind"}
    return {"kind": "plugin", "name": kind, "options": options}


EngineBlock = Annotated[
    TransformersEngine | VllmEngine | ApiBlock | ScriptedEngine | RayEngine | PluginEngine,
    Field(discriminator="kind"),
    BeforeValidator(engine_block),  # before the kind is looked for, which a text alone does not hold
]
"""Any of them, told apart by `kind`; a text alone is the kind."""

_KINDS = {one.model_fields["kind"].default for one in get_args(get_args(EngineBlock)[0])}
