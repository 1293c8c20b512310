"""The `engine:` block of a configuration: one class per engine, told apart by `kind`."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, field_serializer, field_validator, model_validator

from factory.identity import without_user
from factory.registry import Registry
from factory.strict import Strict

ENGINES = Registry(
    "engine",
    "sso_factory.engines",
    {
        "transformers": "factory.engines.transformers:TransformersModel",
        "vllm": "factory.engines.vllm:VllmModel",
        "openai": "factory.engines.api.engine:OpenaiGenerator",
        "served": "factory.engines.api.served:ServedGenerator",
        "ray": "factory.engines.ray:RayModel",
        "scripted": "factory.engines.scripted:ScriptedModel",
    },
    lambda part: all(hasattr(part, name) for name in ("identity", "count_tokens", "generate", "close")),
    "class with the methods of factory.engines.base.Generator, and close",
)
"""Class of each engine, by `EngineBase.runner`: constructed with (block, model), ended with close()."""

OPENAI = "https://api.openai.com/v1"
_PLACES = ("{model}", "{port}")


class Prices(Strict):
    """What a million tokens cost, in your currency."""

    prompt: float = Field(0.0, ge=0)
    """Per million prompt tokens."""
    completion: float = Field(0.0, ge=0)
    """Per million completion tokens."""

    @property
    def money(self) -> bool:
        """Whether anything costs something."""
        return self.prompt > 0 or self.completion > 0


class EngineBase(Strict):
    """What every engine block has."""

    decides: ClassVar[tuple[str, ...]] = ("kind",)
    """The fields that change what the engine answers; the others change how fast, and leave finished stages valid."""
    kind: str

    @property
    def runner(self) -> str:
        """Which engine runs it: a key of `factory.engines.ENGINES`."""
        return self.kind

    @property
    def fingerprint(self) -> dict[str, Any]:
        """The deciding fields with their values."""
        return {name: getattr(self, name) for name in self.decides}


class TransformersEngine(EngineBase):
    """transformers in this process, CPU or one GPU."""

    decides = ("kind", "dtype")

    kind: Literal["transformers"] = "transformers"
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


class OpenaiEngine(EngineBase):
    """Any OpenAI-compatible server. The key is read from the environment and written nowhere."""

    decides = ("kind", "model", "base_url", "serve", "structured_outputs", "extra_body")

    kind: Literal["openai"] = "openai"
    model: str | None = None
    """Name the server knows the model by; null: the policy's or judge's name."""
    base_url: str | None = None
    """null: OPENAI_BASE_URL, or OpenAI itself."""
    key_env: str = Field("OPENAI_API_KEY", pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")
    """Environment variable that holds the key, so that policy and judges may be at providers of their own."""
    serve: list[str] | None = Field(None, min_length=1)
    """Command that serves {model} on this machine's port {port}: started for each policy, ended before training. null:
    the server runs already."""
    max_concurrency: int | None = Field(None, ge=1)
    """Most requests in flight, from the first on; unset: 8 to begin with, and up to 64 while answers come. Halved when
    the server says slow down."""
    timeout: float = Field(120.0, gt=0)
    """Seconds to wait for one answer."""
    max_answer_mb: float = Field(64.0, gt=0)
    """Largest answer that is taken in, MB after decompression; a larger one fails its request alone."""
    max_retries: int = Field(8, ge=0)
    """Tries after the first for a request that failed for a passing cause while others were answered."""
    patience: float = Field(30.0, gt=0)
    """Minutes without one answer after which a server in trouble, or one that `serve` starts, is given up."""
    requests_per_minute: int | None = Field(None, ge=1)
    """Ceiling of your account."""
    tokens_per_minute: int | None = Field(None, ge=1)
    """Ceiling of your account."""
    token_parameter: Literal["max_tokens", "max_completion_tokens"] = "max_completion_tokens"
    """How the server calls the length limit; the other one is tried when it refuses this one."""
    logprobs: bool = True
    """Ask for identifier log-probabilities when judging; off by itself once the server refuses."""
    structured_outputs: bool = False
    """Let judges answer nothing but an identifier, by vLLM's field of that name; off by itself once refused."""
    seed: bool = True
    """Send seeds; off by itself once the server refuses."""
    extra_body: dict[str, Any] = Field(default_factory=dict)
    """Further fields of the request body, as they are."""
    batch: bool = False
    """Use the Batch API (half price, answers within a day)."""
    batch_poll_seconds: float = Field(30.0, gt=0)
    """How often a batch is asked for its state."""
    max_cost: float | None = Field(None, gt=0)
    """Most money that this engine may spend in a run, over kills and resumes; what has arrived is kept. Beside
    run.max_cost, and for a judge of a command that has no run."""
    prices: Prices | None = None
    """What tokens cost; null: what the package genai-prices, a dated table, knows of the model at base_url."""
    cache_dir: str | None = None
    """Folder that keeps answers across runs; null keeps them in the run folder's journal alone."""

    @field_serializer("base_url")
    def _without_user(self, base_url: str | None) -> str | None:
        """A name and password in the address are used and written nowhere."""
        return base_url and without_user(base_url)

    @property
    def fingerprint(self) -> dict[str, Any]:
        """The deciding fields with their values, as they are written."""
        return self.model_dump(include=set(self.decides))

    @property
    def runner(self) -> str:
        """An engine of its own where the run starts the server."""
        return self.kind if self.serve is None else "served"

    @model_validator(mode="after")
    def _served_from_here(self) -> "OpenaiEngine":
        given = [name for name in ("base_url", "cache_dir", "batch") if getattr(self, name)]
        if self.serve is not None and given:
            raise ValueError(
                f"serve starts a server of the run's own, which {given[0]} does not go with; leave one out"
            )
        if self.serve is not None and not all(any(name in word for word in self.serve) for name in _PLACES):
            raise ValueError("serve needs {model} and {port} among its words: the run puts in what to serve, and where")
        return self


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
        if isinstance(self.engine, OpenaiEngine) and self.engine.serve is not None:
            raise ValueError("serve starts a server on one machine; on Ray let each actor hold vLLM: engine.kind vllm")
        if isinstance(self.engine, OpenaiEngine) and self.engine.max_cost is not None:
            raise ValueError("no max_cost is kept over Ray's workers; ask the API from here: engine.kind openai")
        return self

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
        if value not in ENGINES.others:
            raise ValueError(ENGINES.unknown(value))
        return value

    @property
    def runner(self) -> str:
        """Its name."""
        return self.name


EngineBlock = Annotated[
    TransformersEngine | VllmEngine | OpenaiEngine | ScriptedEngine | RayEngine | PluginEngine,
    Field(discriminator="kind"),
]


def engine_block(value: Any) -> Any:
    """An engine as it may be written, a text alone for its kind, in full; one of another package as `plugin`."""
    value = {"kind": value} if isinstance(value, str) else value
    kind = value.get("kind") if isinstance(value, dict) else None
    if not isinstance(kind, str) or kind in _KINDS or kind not in ENGINES.others:
        return value
    options = {key: given for key, given in value.items() if key != "kind"}
    return {"kind": "plugin", "name": kind, "options": options}


_KINDS = {one.model_fields["kind"].default for one in (TransformersEngine, VllmEngine, OpenaiEngine, ScriptedEngine)}
_KINDS |= {RayEngine().kind, "plugin"}
