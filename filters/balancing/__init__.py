"""The optimum behind `length_balance`, on plain arrays: of pairs, or of prompts with at most one pair each.

`pairs.balance` and `prompts.balance_prompts` take `items.Items`; `program` is what they ask where sorting does not do.
"""
