"""What goes wrong with a request, by kind: an error's words, its status, and how long the server asks to wait."""

import math
import re
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any, Literal, NamedTuple

from factory.errors import short

Kind = Literal["throttled", "unreachable", "broken", "refused", "fatal"]


class Failure(NamedTuple):
    """Why a request has no answer.

    throttled: the server asked for less; unreachable: nobody listens; broken: it may work on another try;
    refused: this request will never work; fatal: none will.
    """

    kind: Kind
    message: str
    retry_after: float | None = None
    """Seconds the server asked to wait."""
    error: Mapping[str, Any] = {}
    """The error object of the body, where there is one."""
    charged: bool = False
    """Whether the server may have worked for it, and charge for that: it answered amiss, or not to the end."""


_TOO_LONG = re.compile(
    r"context[ _](length|window|size|limit)|max_model_len|too many (input )?tokens|prompt is too long|reduce the length"
    r"|token count \(?\d* ?\)? ?exceeds|too large",
    re.IGNORECASE,
)


def too_long(error: Mapping[str, Any], message: str) -> bool:
    """Whether the server says that prompt and reply do not fit its context."""
    return error.get("code") == "context_length_exceeded" or bool(_TOO_LONG.search(message))


_MODERATED = re.compile("moderat|flagged|content policy", re.IGNORECASE)
_NO_MONEY = frozenset(
    {"insufficient_quota", "billing_hard_limit_reached", "billing_not_active", "insufficient_balance"}
)
_GIVEN_UP = (408, 504, 524)
"""Of a gateway that waited too long: the model behind it went on."""
LINE_CHARS = 500
"""Of what a server says, how much is kept."""
_LOOKS = "base_url looks like"


def error_of(body: Any) -> dict[str, Any]:
    """The `error` object of a response body in any of the shapes seen, or an empty one."""
    # Google's servers put it into a list of one.
    body = body[0] if isinstance(body, list) and len(body) == 1 else body
    inner = body.get("error", body) if isinstance(body, dict) else body
    if isinstance(inner, dict):
        message = inner.get("message") or inner.get("detail") or inner.get("error") or ""
        return {**inner, "message": short_line(message)}
    return {"message": short_line(inner)} if inner else {"message": ""}


def short_line(message: object) -> str:
    """`message` on one line, of a length that may stand in a table and on a terminal."""
    return short(str(message), LINE_CHARS)


class AskedServer(NamedTuple):
    """Who was asked, as errors name them."""

    server: str
    """Its address."""
    model: str
    key: str = "OPENAI_API_KEY"
    """The variable of the environment that holds the key."""
    vendor: str = "OpenAI"
    home: str = "https://api.openai.com/v1"
    """What an address of such a server looks like."""


def judge_status(status: int, error: Mapping[str, Any], headers: Mapping[str, str], asked: AskedServer) -> Failure:
    """The failure that an error status stands for, with what `error_of` found in its body."""
    server, model, key = asked.server, asked.model, asked.key
    said = error["message"] or f"status {status}"
    if _NO_MONEY & {str(error.get("code")), str(error.get("type"))} or status == 402:
        return Failure("fatal", f"{server} says that the account has no credit left ({said}); add some and run again")
    if status == 401:
        return Failure("fatal", f"{server} does not accept the key in {key} ({said})")
    if status == 404:
        return Failure("fatal", f"{server} knows no model {model} ({said}); check the model's name and base_url")
    if status == 405:
        return Failure("fatal", f"{server} is no {asked.vendor}-compatible endpoint ({said}); {_LOOKS} {asked.home}")
    if status == 403 and not _MODERATED.search(said):
        return Failure("fatal", f"{server} does not let this key use {model} ({said})")
    if status == 429:
        return Failure("throttled", said, retry_after(headers) or _delay(error))
    # A redirect that says not where to is as good as no answer.
    if status in (408, 409, 425) or status >= 500 or status < 400:
        return Failure("broken", said, retry_after(headers), charged=status in _GIVEN_UP)
    prefix = "context_length_exceeded: " if too_long(error, said) else ""
    return Failure("refused", prefix + said, error=error)


_SHORTEST_WAIT, _LONGEST_WAIT = 0.05, 86_400.0


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that Retry-After asks to wait, from its three forms (milliseconds, seconds, date), in bounds."""
    for name, unit in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        value = headers.get(name)
        if value is None:
            continue
        try:
            seconds = float(value) / unit
        except ValueError:
            seconds = _until(value, headers.get("date"))
        if math.isfinite(seconds) and seconds > 0:
            # In bounds, as 0.001 would be asking all the time, and a year for ever.
            return min(max(seconds, _SHORTEST_WAIT), _LONGEST_WAIT)
    return None


def _delay(error: Mapping[str, Any]) -> float | None:
    """The same where it stands in the body, as with Google's APIs: `34.5s` among the details."""
    details = error.get("details")
    found = [one.get("retryDelay") for one in details if isinstance(one, dict)] if isinstance(details, list) else []
    waits = [str(wait).removesuffix("s") for wait in found if wait]
    return retry_after({"retry-after": waits[0]}) if waits else None


def _until(date: str, now: str | None) -> float:
    try:
        # By the server's clock where it tells it, as this machine's may be hours off.
        since = parsedate_to_datetime(now).timestamp() if now else time.time()
        return parsedate_to_datetime(date).timestamp() - since
    except (TypeError, ValueError, OverflowError):
        return math.nan
