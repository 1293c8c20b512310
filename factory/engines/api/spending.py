"""Tokens and money of a remote engine: prices, what is spent, set aside for what is in flight, and expected next."""

from collections.abc import Sequence
from ipaddress import ip_address
from typing import NamedTuple, TypeVar
from urllib.parse import urlsplit

from factory.config.apis import ApiEngine, OpenaiEngine, Prices
from factory.engines.api.accounts import Account
from factory.engines.api.wire import cost, estimate_tokens
from factory.engines.base import Request
from factory.errors import number


class Size(NamedTuple):
    """What a request may use."""

    prompt_tokens: int
    room: int
    """Most tokens it can receive."""


def size_of(request: Request) -> Size:
    """About how long the prompt is, and how long the reply may be."""
    return Size(estimate_tokens(request.messages), request.max_new_tokens)


class Reservation(NamedTuple):
    """What was set aside for a request."""

    tokens: int
    money: float


class EngineSpending:
    """Keeps the books of one engine. Money is set aside as for the longest reply before a request is sent."""

    def __init__(self, block: ApiEngine) -> None:
        self._prices = block.prices
        self.accounts: Sequence[Account] = (Account("max_cost", block.max_cost),)
        """What is charged: by default an account of this engine alone, from nothing."""
        self._answers, self._received = 0, 0
        self._longer = self._wider = 1.0
        """How many times the estimate a prompt had, and its room a reply, at worst."""

    def expect(self, size: Size) -> int:
        """Tokens: prompt plus the mean reply so far, or plus the longest possible one while no reply is known."""
        reply = min(size.room, round(self._received / self._answers)) if self._answers else size.room
        return size.prompt_tokens + reply

    def most(self, size: Size) -> float:
        """Money at most: every reply at its longest."""
        return self._cost(*self._at_most(size))

    def refusal(self, money: float) -> Account | None:
        """The account that has no room for `money` more, or None."""
        return next((account for account in self.accounts if not account.affords(money)), None)

    def reserve(self, size: Size) -> Reservation:
        """Set money aside for a request that is sent now."""
        reservation = Reservation(self.expect(size), self.most(size))
        self.set_aside(reservation.money)
        return reservation

    def set_aside(self, money: float) -> None:
        """Set money aside for requests that are sent now."""
        for account in self.accounts:
            account.reserve(money)

    def release(self, money: float, spent: float = 0.0) -> None:
        """Take back what was set aside for a request; it came to `spent`."""
        for account in self.accounts:
            account.settle(money, spent)

    def recover(self, money: float) -> None:
        """Set aside again what an earlier process had set aside for requests that are found to be under way."""
        for account in self.accounts:
            account.recover(money)

    def spend(self, size: Size, reserved: float, sent: int | None, received: int | None) -> int:
        """Book what an answer used; its tokens in all."""
        tokens, money = self.learn(size, sent, received)
        self.release(reserved, money)
        return tokens

    def learn(self, size: Size, sent: int | None, received: int | None) -> tuple[int, float]:
        """Tokens and money of an answer, the most possible where the server does not say; estimates go by it."""
        most = self._at_most(size)
        sent, received = (most[0] if sent is None else sent, most[1] if received is None else received)
        self._answers, self._received = self._answers + 1, self._received + received
        # Four letters a token is wrong for Chinese or code, and some servers pass over the limit they are told: after
        # the first such answer the bound holds for these too.
        self._longer = max(self._longer, sent / max(size.prompt_tokens, 1))
        self._wider = max(self._wider, received / max(size.room, 1))
        return sent + received, self._cost(sent, received)

    def close(self) -> None:
        """Whatever is still under way counts as spent, until it is found again."""
        for account in self.accounts:
            account.abandon()

    def _at_most(self, size: Size) -> tuple[int, int]:
        """Tokens sent and received, going by the worst answers so far."""
        return round(size.prompt_tokens * self._longer), round(size.room * self._wider)

    def _cost(self, prompt_tokens: int, completion_tokens: int) -> float:
        return cost(self._prices, prompt_tokens, completion_tokens) or 0.0


def out_of_money(account: Account, money: float, what: str) -> str:
    """The sentence that ends a stage: `what` is a request, or a batch of them, that may cost `money`."""
    under_way = f" and {number(account.in_flight)} is under way" if account.in_flight else ""
    return (
        f"{account.key} is reached: {number(account.spent)} of {number(account.most or 0)} is spent{under_way}, "
        f"and {what} may cost {number(money)}; what has arrived is kept, raise {account.key} to go on"
    )


BATCH_SHARE = 0.5
"""What OpenAI takes for a request in a batch, of what it takes otherwise."""
_Block = TypeVar("_Block", bound=ApiEngine)
_SAMPLE = 1000
"""Tokens to ask a price for: few enough for the first tier of any provider."""


def priced(block: _Block, model: str) -> _Block:
    """`block` with prices: its own, or those known of `model` at its address by the package genai-prices."""
    if block.prices is not None or block.starts_server:
        return block
    found = _known(block.address, block.model or model)
    if found and isinstance(block, OpenaiEngine) and block.batch and block.address.startswith(block.home):
        found = Prices(prompt=found.prompt * BATCH_SHARE, completion=found.completion * BATCH_SHARE)
    return block.model_copy(update={"prices": found})


def _known(address: str, model: str) -> Prices | None:
    # The table knows providers alone; loading it takes longer than a server of one's own takes to answer.
    if _private(urlsplit(address).hostname or ""):
        return None
    from genai_prices import Usage, calc_price

    try:
        used = Usage(input_tokens=_SAMPLE, output_tokens=_SAMPLE)
        found = calc_price(used, model_ref=model, provider_api_url=address)
    except (LookupError, ValueError):
        return None
    # Its prices are sums for so many tokens.
    million = 1e6 / _SAMPLE
    return Prices(prompt=float(found.input_price) * million, completion=float(found.output_price) * million)


def _private(host: str) -> bool:
    """Whether it is this machine, or one of a private network."""
    try:
        return ip_address(host).is_private
    except ValueError:
        return host == "localhost"
