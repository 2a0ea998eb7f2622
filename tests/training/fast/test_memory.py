"""What becomes of the memory that a process frees."""

import platform
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc alone is told")

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
