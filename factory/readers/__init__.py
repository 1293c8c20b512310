"""Reading what others wrote: pairs and prompts from any file, folder, dataset or frame, in one normal form."""

from factory.readers.how import How, ReadOptions, how_to_read
from factory.readers.inputs.on_disk import fingerprint
from factory.readers.inputs.sources import PairsLike, PairSource, fetched_once
from factory.readers.pairs import load_pairs, read_pairs
from factory.readers.prompts import read_prompts
from factory.readers.reading import PairsRead, PromptsRead, Reading

__all__ = [
    "How",
    "PairSource",
    "PairsLike",
    "PairsRead",
    "PromptsRead",
    "ReadOptions",
    "Reading",
    "fetched_once",
    "fingerprint",
    "how_to_read",
    "load_pairs",
    "read_pairs",
    "read_prompts",
]
