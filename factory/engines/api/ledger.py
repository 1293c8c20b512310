"""Tokens and money of a remote engine: spent, set aside for what is in flight, and expected of the next request."""

from typing import NamedTuple

from factory.engine_blocks import OpenaiEngine
from factory.engines.api.wire import cost


class Size(NamedTuple):
    """What a request may use."""

    prompt_tokens: int
    room: int
    """Most tokens it can receive."""


class Booking(NamedTuple):
    """What was set aside for a request."""

    tokens: int
    money: float


class Ledger:
    """Keeps the books of one engine since it was opened."""

    def __init__(self, block: OpenaiEngine) -> None:
        self._prices, self._most = block.prices, block.max_cost
        self.spent = 0.0
        self._answers, self._received, self._reserved = 0, 0, 0.0

    def expect(self, size: Size) -> Booking:
        """Prompt plus the mean reply so far, or plus the longest possible one while no reply is known."""
        reply = min(size.room, round(self._received / self._answers)) if self._answers else size.room
        return Booking(size.prompt_tokens + reply, cost(self._prices, size.prompt_tokens, reply) or 0.0)

    def affords(self, size: Size, in_flight: int) -> bool:
        """Whether one more request stays under max_cost. The very first one always may go."""
        if self._most is None or (in_flight == 0 and not self._answers):
            return True
        return self.spent + self._reserved + self.expect(size).money <= self._most

    def reserve(self, size: Size) -> Booking:
        """Set money aside for a request that is sent now."""
        booking = self.expect(size)
        self._reserved += booking.money
        return booking

    def release(self, booking: Booking) -> None:
        """Take back what was set aside for a request that failed."""
        self._reserved -= booking.money

    def spend(self, size: Size, booking: Booking, sent: int | None, received: int | None) -> int:
        """Book what an answer used, taken as the most possible where the server does not say; its tokens in all."""
        self.release(booking)
        sent = size.prompt_tokens if sent is None else sent
        received = size.room if received is None else received
        self.spent += cost(self._prices, sent, received) or 0.0
        self._answers, self._received = self._answers + 1, self._received + received
        return sent + received
