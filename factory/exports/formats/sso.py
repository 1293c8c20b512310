"""`sso`: all that the SSO loss needs: the prompt, the three replies and both system messages."""

import polars as pl

from factory.exports.base import TEXTS, Format, no_problem

FORMAT = Format(name="sso", fields={name: pl.col(name) for name in TEXTS}, problem=no_problem())
"""`prompt` is a message list, the rest is text; `original` and the system messages may be null."""
