"""A model behind an API as a Generator: any OpenAI-compatible server, such as vLLM's, Anthropic's, and Gemini's."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from factory.config.apis import ApiEngine, OpenaiEngine
from factory.engines.api.accounts import Account
from factory.engines.api.async_requests import AsyncRequests
from factory.engines.api.batch import Batches
from factory.engines.api.cache import Cached
from factory.engines.api.endpoint import Endpoint
from factory.engines.api.rate_limiter import Clock
from factory.engines.api.spending import priced
from factory.engines.api.wire import estimate_tokens
from factory.engines.base import Completion, Request
from factory.errors import ConfigError
from factory.identity import Messages
from factory.models.ref import ModelRef
from principles.views import folded


class ServerSide:
    """What is known here of a model that a server holds."""

    @property
    def context_length(self) -> int | None:
        """Known to the server alone; a prompt that does not fit comes back as a completion with an error."""
        return None

    def count_tokens(self, conversations: Sequence[Messages]) -> list[int]:
        """An estimate: a token per four characters, and four per turn for its frame."""
        return [estimate_tokens(messages) for messages in conversations]


class ApiGenerator(ServerSide):
    """Asks a server over HTTP; retries, speed, money and the optional cache are its own affair.

    The key comes from the variable `key_env`, the address from the block; its kind says what is spoken. Nothing is
    imported, opened or sent before the first request, so that counting tokens needs neither key nor server.
    """

    def __init__(self, block: ApiEngine, model: ModelRef, *, clock: Clock | None = None) -> None:
        self._fold = model.fold_system
        self.endpoint = Endpoint(block, model)
        block = priced(block, self.endpoint.model)
        if block.max_cost is not None and not (block.prices and block.prices.money):
            raise ConfigError("max_cost needs prices: give what a million tokens cost under engine.prices")
        clock = clock or Clock()
        if isinstance(block, OpenaiEngine) and block.batch:
            self._engine: Batches | AsyncRequests = Batches(block, self.endpoint, clock)
        else:
            self._engine = AsyncRequests(block, self.endpoint, clock)
        self._cached = Cached(self._engine.generate, self.identity, Path(block.cache_dir)) if block.cache_dir else None

    @property
    def identity(self) -> str:
        """Kind, address and model, and a hash of what else decides the answers."""
        return self.endpoint.identity

    def generate(self, requests: Sequence[Request]) -> Iterator[Completion]:
        """Yield one completion per request as they land, those of the cache first.

        Raises EngineError, with one sentence and after yielding what has arrived, when no key, no credit, no such
        model, no server, or `max_cost` is reached.
        """
        if self._fold:
            requests = [replace(request, messages=folded(request.messages)) for request in requests]
        ask = self._cached.generate if self._cached else self._engine.generate
        yield from ask(requests)

    def charge(self, accounts: Sequence[Account]) -> None:
        """Let every request be paid from each of `accounts`, and none be sent that one of them has no room for."""
        self._engine.spending.accounts = accounts

    def close(self) -> None:
        """Close connections, thread and cache."""
        self._engine.close()
        if self._cached:
            self._cached.close()
