"""Reading what others wrote: pairs and prompts from any file, folder, dataset or frame, in one normal form."""

from factory.readers.fingerprints import fingerprint
from factory.readers.pairs import load_pairs, read_pairs
from factory.readers.prompts import read_prompts
from factory.readers.sources import PairsLike

__all__ = ["PairsLike", "fingerprint", "load_pairs", "read_pairs", "read_prompts"]
