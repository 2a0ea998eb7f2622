"""All randomness of a run flows from one integer, in independent named streams."""

import zlib

import numpy as np


def generator(seed: int, purpose: str) -> np.random.Generator:
    """A generator for one purpose ("split", "subset", "initialisation", "order") of a seed.

    Streams of one seed are independent, so a purpose can be added without changing the others.
    """
    return np.random.default_rng([seed, zlib.crc32(purpose.encode())])


def torch_seed(seed: int, purpose: str) -> int:
    """An integer from the same stream, for `torch.manual_seed`."""
    return int(generator(seed, purpose).integers(2**63))
