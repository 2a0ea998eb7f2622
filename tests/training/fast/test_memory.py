"""What becomes of the memory that a process frees."""

import os
import platform
import subprocess
import sys

import pytest

from ubc_lib.training.fast.memory import TUNABLES, kept_in_one_piece

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc alone is told")

TWO_LARGE_BLOCKS_WITH_SMALL_ONES_BETWEEN = """
import ctypes
from ubc_lib.training.fast.memory import keep_freed_memory
keep_freed_memory()
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
libc.free.argtypes = [ctypes.c_void_p]
small = [0] * 2000  # first, so that it does not lie between them itself
before = libc.malloc(2**24)
for place in range(2000):
    small[place] = libc.malloc(1000)
after, last = libc.malloc(2**24), libc.malloc(2**24)
for block in [*reversed(small), before, after]:
    libc.free(block)
print(libc.malloc(2**25) < last)
"""

MEMORY_AFTER_A_LARGE_BLOCK = """
import torch
from ubc_lib.training.fast.memory import keep_freed_memory
keep_freed_memory()
resident = lambda: int(open("/proc/self/statm").read().split()[1]) * 4096
before = resident()
block = torch.ones(2**26)
del block
print(resident() - before)
"""


def printed(code: str) -> str:
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return ran.stdout.strip()


def test_memory_that_training_frees_stays_with_the_process():
    assert int(printed(MEMORY_AFTER_A_LARGE_BLOCK)) > 2**27


def test_a_larger_block_fits_where_smaller_ones_were(monkeypatch):
    monkeypatch.delenv(TUNABLES, raising=False)
    with kept_in_one_piece():
        assert printed(TWO_LARGE_BLOCKS_WITH_SMALL_ONES_BETWEEN) == "True"


def test_the_environment_is_afterwards_what_it_was(monkeypatch):
    monkeypatch.delenv(TUNABLES, raising=False)
    with kept_in_one_piece():
        assert "tcache_count=0" in os.environ[TUNABLES]
    assert TUNABLES not in os.environ


def test_what_a_user_tells_glibc_stays(monkeypatch):
    monkeypatch.setenv(TUNABLES, "glibc.malloc.check=0")
    with kept_in_one_piece():
        assert os.environ[TUNABLES] == "glibc.malloc.check=0"
    assert os.environ[TUNABLES] == "glibc.malloc.check=0"
