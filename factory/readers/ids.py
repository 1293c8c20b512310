"""The ids of `factory.identity` for whole columns at once."""

import hashlib

import polars as pl

_SLICE = 1_024


def prompt_ids(prompt: pl.Expr) -> pl.Expr:
    """`identity.prompt_id` of each row of a MESSAGES expression."""
    return prompt_ids_of(turns_json(prompt))


def pair_ids(prompt: pl.Expr, chosen: pl.Expr, rejected: pl.Expr) -> pl.Expr:
    """`identity.pair_id` of each row."""
    return pair_ids_of(turns_json(prompt), chosen, rejected)


def prompt_ids_of(turns: pl.Expr) -> pl.Expr:
    """The same of what `turns_json` gives, so that both ids can be made from one."""
    return _hashed(turns)


def pair_ids_of(turns: pl.Expr, chosen: pl.Expr, rejected: pl.Expr) -> pl.Expr:
    """The same of what `turns_json` gives."""
    return _hashed(pl.format("[{},{},{}]", turns, _json(chosen), _json(rejected)))


def _json(text: pl.Expr) -> pl.Expr:
    """A text as JSON; polars escapes as Python's json module does with ensure_ascii off."""
    whole = pl.struct(text.alias("t")).struct.json_encode()
    return whole.str.strip_prefix('{"t":').str.strip_suffix("}")


def turns_json(prompt: pl.Expr) -> pl.Expr:
    """A prompt as the JSON that the ids are hashes of."""
    role, content = (pl.element().struct.field(name) for name in ("role", "content"))
    return pl.format("[{}]", prompt.list.eval(pl.format("[{},{}]", _json(role), _json(content))).list.join(","))


def _digests(texts: pl.Series) -> pl.Series:
    data = texts.cast(pl.Binary)
    out: list[str | None] = []
    for start in range(0, len(data), _SLICE):
        rows = data.slice(start, _SLICE).to_list()
        out += [None if row is None else hashlib.blake2b(row, digest_size=16).hexdigest() for row in rows]
    return pl.Series(texts.name, out, dtype=pl.String)


def _hashed(text: pl.Expr) -> pl.Expr:
    return text.map_batches(_digests, return_dtype=pl.String(), is_elementwise=True)
