"""Pairs and votes as benchmarks/filters.py filters them, made up."""

from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl

from benchmarks.planted import plant, write_benchmarks
from factory.identity import digest
from factory.schema import MESSAGES

CHUNK = 50_000
Compression = Literal["snappy", "zstd"]
JUDGES = ("gpt-4o", "llama-3-70b")
MARKS = [".", ",", ":", ".\n\n", "\n- "] * 300 + ["“so”", "it’s", "–", "café", "½", "😀"]
"""Beside plain words; the last, which are not ASCII, make up one word in 3,500."""
METHODS = ("sso", "sso_no_w", "pbaa")


def make(rows: int, folder: Path, planted: bool = False, compression: Compression = "snappy") -> None:
    """Write pairs/*.parquet and judgments/*.parquet, and with `planted` benchmarks/*.jsonl and pairs that hold them."""
    for name in ("pairs", "judgments"):
        (folder / name).mkdir(parents=True)
    if planted:
        write_benchmarks(folder, _vocabulary()[: -len(MARKS)])
    words = np.random.default_rng(0).choice(_vocabulary(), 5_000_000)
    noise = " ".join(words).replace("\n ", "\n").replace(" \n", "\n").replace(" .", ".").replace(" ,", ",")
    for number, start in enumerate(range(0, rows, CHUNK)):
        rng = np.random.default_rng(number)
        frame = _pairs(rng, noise, start, min(CHUNK, rows - start))
        if planted:
            frame = plant(rng, frame, folder).with_columns(
                chunk=pl.lit(number), finish_chosen=_endings(rng, frame.height)
            )
        frame.write_parquet(folder / f"pairs/{number:05}.parquet", compression=compression, row_group_size=10_000)
        _votes(rng, frame["pair_id"].unique(maintain_order=True)).write_parquet(
            folder / f"judgments/{number:05}.parquet", compression=compression
        )


def _vocabulary() -> list[str]:
    rng = np.random.default_rng(1)
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz"))
    return ["".join(rng.choice(letters, rng.integers(1, 11))) for _ in range(20_000)] + MARKS


def _pairs(rng: np.random.Generator, noise: str, start: int, rows: int) -> pl.DataFrame:
    """Some rows; a tenth repeat another row of the same chunk."""
    original = np.arange(rows)
    repeats = rng.random(rows) < 0.1
    original[repeats] = rng.integers(0, rows, repeats.sum())
    spaced = repeats & (rng.random(rows) < 0.5)
    places = rng.integers(0, len(noise) - 20_000, (rows, 3))
    sizes = np.minimum(rng.lognormal((5.0, 7.1, 7.0), (0.8, 0.7, 0.7), (rows, 3)).astype(int) + 5, 19_000)
    texts = [
        [noise[at : at + size] for at, size in zip(*pair, strict=True)] for pair in zip(places, sizes, strict=True)
    ]
    chosen = [texts[i][1] + "  " * int(odd) for i, odd in zip(original, spaced, strict=True)]
    ids = [digest([start + int(i), bool(odd)]) for i, odd in zip(original, spaced, strict=True)]
    prompts = [digest(start + int(i)) for i in original]
    return pl.DataFrame(
        {
            "pair_id": ids,
            "prompt_id": prompts,
            "prompt": _prompts([texts[i][0] for i in original]),
            "chosen": chosen,
            "rejected": [texts[i][2] for i in original],
            "method": rng.choice(METHODS, rows),
            "iteration": rng.integers(1, 4, rows),
        }
    )


def _prompts(contents: list[str]) -> pl.Series:
    """A turn of the user's each."""
    # In columns: as lists of dicts the prompts take a third of the time of making the pairs.
    turn = pl.struct(role=pl.lit("user"), content="content")
    return pl.DataFrame({"content": contents}).select(pl.concat_list(turn).cast(MESSAGES)).to_series()


def _endings(rng: np.random.Generator, rows: int) -> pl.Series:
    return pl.Series(np.where(rng.random(rows) < 0.03, "length", "stop"))


def _votes(rng: np.random.Generator, pair_ids: pl.Series) -> pl.DataFrame:
    """Both votes of both judges; judges like chosen, agree with each other, and fail to answer now and then."""
    quality = rng.normal(0.8, 1.0, len(pair_ids))
    frames = []
    for judge in JUDGES:
        for order, slot in (("chosen_first", 0.2), ("rejected_first", -0.2)):
            liked = quality + slot + rng.normal(0, 0.7, len(pair_ids)) > 0
            vote = pl.Series(np.where(liked, "chosen", "rejected")).set(
                pl.Series(rng.random(len(pair_ids)) < 0.01), None
            )
            table = pl.DataFrame({"pair_id": pair_ids, "vote": vote})
            frames.append(table.with_columns(judge=pl.lit(judge), order=pl.lit(order)))
    return pl.concat(frames)
