"""Where a model runs and in which precision."""

import platform
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from ubc_lib.errors import InputError


def choose_device(wanted: str) -> torch.device:
    """The device for "auto", "cpu" or "cuda"; InputError for a GPU that is not there."""
    if wanted == "cuda" and not torch.cuda.is_available():
        raise InputError("device=cuda, but torch sees no GPU here. Set device=auto or device=cpu.")
    if wanted == "auto":
        wanted = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(wanted)


def choose_precision(wanted: str, device: torch.device) -> str:
    """The precision for "auto", "fp32" or "bf16": bf16 where the device has units for it."""
    if wanted != "auto":
        return wanted
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    capabilities = getattr(torch.cpu, "get_capabilities", dict)()
    has_units = capabilities.get("avx512_bf16") or capabilities.get("amx_bf16")
    return "bf16" if has_units else "fp32"


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """bf16 arithmetic where `precision` asks for it; parameters stay fp32 in any case."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16")


@contextmanager
def cpu_threads(count: int) -> Iterator[None]:
    """Let torch use `count` processor threads; sums, and so results, depend on their number."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def device_name(device: torch.device) -> str:
    """The name people know the device by."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    capabilities = getattr(torch.cpu, "get_capabilities", dict)()
    name = capabilities.get("cpu_name") or platform.processor() or platform.machine()
    return f"CPU ({name}, {torch.get_num_threads()} thread(s))"
