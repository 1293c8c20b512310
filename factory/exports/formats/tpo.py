"""`tpo`: `dpo` with a reference reply to imitate, for TRL's TPOTrainer; all pairs of a prompt."""

from dataclasses import replace

from factory.exports.base import as_reply
from factory.exports.formats import dpo

FORMAT = replace(
    dpo.FORMAT, name="tpo", fields={**dpo.FORMAT.fields, "reference": as_reply("chosen")}, one_per_prompt=False
)
"""`reference` is the reply whose likelihood TPO raises: the chosen one, the best that is known of a prompt. y° is what
the policy says anyway."""
