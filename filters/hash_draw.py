"""Coins by pair: draws that depend on a pair's id and a name alone, the same for one pair and for a column of them."""

import polars as pl

from factory.identity import draw

_MIX = (0xBF58476D1CE4E5B9, 0x94D049BB133111EB)
"""Multipliers of splitmix64's finaliser, after which every bit of the id has reached the highest bit."""
_TAIL = 8
"""Bytes of the id that are used. Ids are content hashes, so that any 8 hex digits of them are random."""


def hash_draw(pair_id: str, name: str) -> int:
    """A number below 2^64, uniform over content-hash ids."""
    tail = ("0" * _TAIL + pair_id).encode("utf-8")[-_TAIL:]
    mixed = int.from_bytes(tail, "big") ^ draw(name)
    for factor in _MIX:
        mixed = (mixed ^ (mixed >> 31)) * factor % (1 << 64)
    return mixed


def hash_draw_expr(name: str) -> pl.Expr:
    """`hash_draw` of the column pair_id, as UInt64, whose products wrap."""
    # Padded, as reinterpreting needs eight bytes: a shorter id would be null, and its coin too.
    padded = (pl.lit("0" * _TAIL) + pl.col("pair_id")).cast(pl.Binary)
    tail = padded.bin.tail(_TAIL).bin.reinterpret(dtype=pl.UInt64(), endianness="big")
    mixed = tail ^ pl.lit(draw(name), pl.UInt64)
    for factor in _MIX:
        # A division for the shift, which polars expressions lack; both are exact in unsigned integers.
        mixed = (mixed ^ (mixed // (1 << 31))) * pl.lit(factor, pl.UInt64)
    return mixed
