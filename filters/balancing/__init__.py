"""The optimum behind `length_balance`, on plain arrays: with any number of pairs per prompt, or at most one."""

from filters.balancing.items import Items
from filters.balancing.pairs import balance
from filters.balancing.prompts import balance_prompts

__all__ = ["Items", "balance", "balance_prompts"]
