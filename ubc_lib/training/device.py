"""Where a model runs and in which precision."""

import platform
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from ubc_lib.system.errors import InputError


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
    return "bf16" if cpu_gains_from_bf16(torch.cpu.get_capabilities()) else "fp32"


def cpu_gains_from_bf16(capabilities: dict) -> bool:
    """Whether bf16 arithmetic is faster than fp32 on a CPU with these capabilities.

    Tile units (AMX) multiply bf16 several times as fast. The vector instructions (AVX-512 BF16) do
    so on AMD's cores; on Intel's without tiles fp32 measured 10 to 20 % faster.
    """
    if capabilities.get("amx_bf16"):
        return True
    return bool(capabilities.get("avx512_bf16")) and "AMD" in capabilities.get("cpu_name", "")


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """bf16 arithmetic where `precision` asks for it; parameters stay fp32 in any case."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16")


class DeviceLostError(InputError):
    """The GPU failed while a run was training; the run has no record, earlier ones are kept."""


@contextmanager
def device_errors_named(run: str) -> Iterator[None]:
    """Say what to do where a device's memory is too small, or where a GPU fails in mid-run.

    Raises InputError, or for a GPU that fails or vanishes DeviceLostError.
    """
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise InputError(
            "The memory of the GPU is too small for this training. Train fewer at once (GPUS=1), "
            "or set precision=bf16, a smaller batch_size or image_size, or device=cpu."
        ) from error
    except RuntimeError as error:
        reason = str(error).partition("\n")[0]
        if "CUDA error" not in reason:
            raise
        raise DeviceLostError(
            f"{run}: the GPU failed ({reason}). Finished runs are kept; run the same command again "
            "and this one goes on from its last checkpoint."
        ) from error


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
    """The name people know the device by, and for a CPU what makes the largest difference."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    threads = torch.get_num_threads()
    counted = "1 thread" if threads == 1 else f"{threads} threads"
    return f"CPU ({processor_name(torch.cpu.get_capabilities())}, {counted})"


def processor_name(capabilities: dict) -> str:
    """The name of a CPU with these capabilities; one with tile units is several times as fast."""
    name = capabilities.get("cpu_name") or platform.processor() or platform.machine()
    return f"{name} with AMX" if capabilities.get("amx_bf16") else name
