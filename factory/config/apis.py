"""The `engine:` blocks of models behind an API, by whose language it speaks."""

import os
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, field_serializer, model_validator

from factory.identity import digest, without_user
from factory.strict import Strict

_PLACES = ("{model}", "{port}")
_VARIABLE = r"^[A-Za-z_][A-Za-z0-9_]*$"


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
    # Each block's own is a Literal, by which pydantic tells them apart without trying one after the other.
    kind: str

    @property
    def runner(self) -> str:
        """Which engine runs it: a key of `factory.engines.ENGINES`."""
        return self.kind

    @property
    def inner(self) -> "EngineBase":
        """The engine that answers: Ray's is the one in its actors."""
        return self

    @property
    def remote(self) -> bool:
        """Whether the model is that of a server which runs without us, asked over HTTP from here or Ray's workers."""
        return False

    @property
    def fingerprint(self) -> dict[str, Any]:
        """The deciding fields with their values."""
        return {name: getattr(self, name) for name in self.decides}


class ApiEngine(EngineBase):
    """A server that is asked over HTTP. The key is read from the environment and written nowhere."""

    decides: ClassVar[tuple[str, ...]] = ("kind", "model", "base_url", "extra_body")
    vendor: ClassVar[str] = ""
    """Whose API it is."""
    home: ClassVar[str] = ""
    """Where that vendor's own server is."""
    home_env: ClassVar[str] = ""
    """Variable of the environment that names another place, as for the vendor's own client."""

    model: str | None = None
    """Name the server knows the model by; null: the policy's or judge's name."""
    base_url: str | None = None
    """Where the server is; null: what the vendor's variable says, or the vendor itself."""
    # The name of a variable, as POSIX has it. A key such as sk-… put here itself is none, and is refused before it
    # could be written into the run folder.
    key_env: str = Field(pattern=_VARIABLE)
    """Environment variable that holds the key, so that policy and judges may be at providers of their own."""
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
    extra_body: dict[str, Any] = Field(default_factory=dict)
    """Further fields of the request body, as they are."""
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
        # Dumped, not read as the other engines' are: only the serialiser leaves name and password out of the address.
        return self.model_dump(include=set(self.decides))

    @property
    def address(self) -> str:
        """Where requests go: `base_url`, what the environment says, or the vendor."""
        # Read when it is asked for, not when the block is made: a test or a notebook may set the variable later.
        return (self.base_url or os.environ.get(self.home_env) or self.home).rstrip("/")

    @property
    def mark(self) -> str:
        """Names what decides the answers beside kind, address and model; empty where nothing else was set."""
        return digest([self.extra_body]) if self.extra_body else ""

    @property
    def starts_server(self) -> bool:
        """Whether the run starts the server itself."""
        return False

    @property
    def remote(self) -> bool:
        """Unless the run starts the server."""
        return not self.starts_server

    @property
    def live(self) -> Self:
        """The same, for one question that is to be answered now, by the server, and with little patience."""
        # A copy is not validated again, which these two values do not need.
        return self.model_copy(update={"cache_dir": None, "max_retries": 1})


class LogprobEngine(ApiEngine):
    """A server that may give log-probabilities and take seeds."""

    logprobs: bool = True
    """Ask for identifier log-probabilities when judging; off by itself once the server refuses."""
    seed: bool = True
    """Send seeds; off by itself once the server refuses."""


class OpenaiEngine(LogprobEngine):
    """Any OpenAI-compatible server. The key is read from the environment and written nowhere."""

    decides = ("kind", "model", "base_url", "serve", "structured_outputs", "extra_body")
    vendor = "OpenAI"
    home = "https://api.openai.com/v1"
    home_env = "OPENAI_BASE_URL"

    kind: Literal["openai"] = "openai"
    # Again in each block, for the sentence below it: the reference takes a field's words from where it is declared.
    base_url: str | None = None
    """null: OPENAI_BASE_URL, or OpenAI itself."""
    key_env: str = Field("OPENAI_API_KEY", pattern=_VARIABLE)
    serve: list[str] | None = Field(None, min_length=1)
    """Command that serves {model} on this machine's port {port}: started for each policy, ended before training. null:
    the server runs already."""
    token_parameter: Literal["max_tokens", "max_completion_tokens"] = "max_completion_tokens"
    """How the server calls the length limit; the other one is tried when it refuses this one."""
    structured_outputs: bool = False
    """Let judges answer nothing but an identifier, by vLLM's field of that name; off by itself once refused."""
    batch: bool = False
    """Use the Batch API (half price, answers within a day)."""
    batch_poll_seconds: float = Field(30.0, gt=0)
    """How often a batch is asked for its state."""

    @property
    def runner(self) -> str:
        """An engine of its own where the run starts the server."""
        return "served" if self.starts_server else self.kind

    @property
    def mark(self) -> str:
        """As of any, and whether judges are bound to identifiers."""
        # Empty where neither is set, as ever: answers that a cache holds from before there were such options stay.
        told: list[object] = [self.extra_body] if self.extra_body else []
        told += ["structured_outputs"] if self.structured_outputs else []
        return digest(told) if told else ""

    @property
    def starts_server(self) -> bool:
        """Whether `serve` says how."""
        return self.serve is not None

    @property
    def live(self) -> Self:
        """The same, for one question that is to be answered now."""
        return super().live.model_copy(update={"batch": False})

    @model_validator(mode="after")
    def _served_from_here(self) -> "OpenaiEngine":
        # A cache too: it goes by address, and the server's port is another one each time.
        given = [name for name in ("base_url", "cache_dir", "batch") if getattr(self, name)]
        if self.serve is not None and given:
            raise ValueError(
                f"serve starts a server of the run's own, which {given[0]} does not go with; leave one out"
            )
        if self.serve is not None and not all(any(name in word for word in self.serve) for name in _PLACES):
            raise ValueError("serve needs {model} and {port} among its words: the run puts in what to serve, and where")
        return self


class AnthropicEngine(ApiEngine):
    """Anthropic's Messages API. It takes no seed and gives no log-probabilities: judges' votes are read from text."""

    decides = ("kind", "model", "base_url", "version", "extra_body")
    vendor = "Anthropic"
    home = "https://api.anthropic.com"
    home_env = "ANTHROPIC_BASE_URL"

    kind: Literal["anthropic"] = "anthropic"
    base_url: str | None = None
    """null: ANTHROPIC_BASE_URL, or Anthropic itself."""
    key_env: str = Field("ANTHROPIC_API_KEY", pattern=_VARIABLE)
    version: str = Field("2023-06-01", pattern=r"^\d{4}-\d{2}-\d{2}$")
    """What the header anthropic-version says. Later versions take neither temperature nor top_p; nor do newer models,
    for which they are left out once refused, and that is said."""

    @property
    def mark(self) -> str:
        """As of any, and the version where it is another one."""
        other = self.version if self.version != type(self).model_fields["version"].default else ""
        return " ".join(part for part in (super().mark, other) if part)


class GeminiEngine(LogprobEngine):
    """Google's Gemini API. Log-probabilities of identifiers are asked for; most models there give none."""

    vendor = "Gemini"
    home = "https://generativelanguage.googleapis.com"
    home_env = "GOOGLE_GEMINI_BASE_URL"

    kind: Literal["gemini"] = "gemini"
    base_url: str | None = None
    """null: GOOGLE_GEMINI_BASE_URL, or Google itself."""
    key_env: str = Field("GEMINI_API_KEY", pattern=_VARIABLE)


ApiBlock = OpenaiEngine | AnthropicEngine | GeminiEngine
"""Any of them."""
