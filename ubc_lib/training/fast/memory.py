"""What a process does with the memory it frees, for training that allocates gigabytes each step.

All of it concerns glibc, the C library of most Linux systems; elsewhere nothing is done.
"""

import ctypes
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # malloc.h
TUNABLES = "GLIBC_TUNABLES"
NONE_SET_ASIDE = "glibc.malloc.tcache_count=0:glibc.malloc.mxfast=0"


def keep_freed_memory() -> None:
    """Let this process keep the memory that it frees, for whatever it allocates next.

    glibc gives large blocks back to the system at once, which clears every page when it hands it
    out again: up to a third of a training step that allocates gigabytes.
    """
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(M_MMAP_MAX, 0)
        libc.mallopt(M_TRIM_THRESHOLD, -1)


@contextmanager
def kept_in_one_piece() -> Iterator[None]:
    """Let processes that are started meanwhile keep freed memory in one piece.

    glibc sets small freed blocks aside, and one that lies between large ones keeps them apart: the
    next step's largest blocks fit none, and a process grows by as much as a quarter. It can be told
    so only by the environment, which is left as it is where it tells glibc anything.
    """
    told = TUNABLES in os.environ
    os.environ.setdefault(TUNABLES, NONE_SET_ASIDE)
    try:
        yield
    finally:
        if not told:
            del os.environ[TUNABLES]
