"""What a model of a known provider costs, from the dated table of the package genai-prices; nothing is fetched."""

from ipaddress import ip_address
from typing import TypeVar
from urllib.parse import urlsplit

from factory.config.apis import ApiEngine, OpenaiEngine, Prices

BATCH_SHARE = 0.5
"""What OpenAI takes for a request in a batch, of what it takes otherwise."""
_Block = TypeVar("_Block", bound=ApiEngine)
_SAMPLE = 1000
"""Tokens to ask a price for: few enough for the first tier of any provider."""


def priced(block: _Block, model: str) -> _Block:
    """`block` with prices: its own, or where it gives none those known of `model` at its address."""
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
