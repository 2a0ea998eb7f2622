"""Where a model runs and in which precision."""

import platform
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from ubc_lib.system.errors import InputError, ProcessEndsError


def unused_gpu() -> str | None:
    """What to tell a user whose GPU torch cannot use; None where it can, or where there is none."""
    if torch.cuda.is_available() or not (shutil.which("nvidia-smi") or shutil.which("rocm-smi")):
        return None
    built = f"CUDA {torch.version.cuda}" if torch.version.cuda else "no CUDA"
    return (
        f"There is a GPU here that torch {torch.__version__} (built for {built}) cannot use, so "
        'all is trained on the CPU. Most often its driver is too old: see "A GPU" in the README.'
    )


def choose_device(wanted: str) -> torch.device:
    """The device for "auto", "cpu" or "cuda"; InputError for a GPU that is not there."""
    if wanted == "cuda" and not torch.cuda.is_available():
        raise InputError("device=cuda, but torch sees no GPU here. Set device=auto or device=cpu.")
    if wanted == "auto":
        wanted = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(wanted)


def use_card(number: int) -> None:
    """Let "cuda" be one of the cards that this process sees, counted round; nothing without."""
    if torch.cuda.is_available():
        torch.cuda.set_device(number % torch.cuda.device_count())


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


# What CUDA and its libraries say of memory that is too small, cuDNN without any other word.
TOO_SMALL = ("out of memory", "ALLOC_FAILED", "unable to find an engine", "NVML_SUCCESS")
# What they say of a card that failed, and not of the program on it.
LOST = ("unavailable", "uncorrectable", "no CUDA-capable device", "unknown error", "is lost")


def is_out_of_memory(error: Exception) -> bool:
    """Whether a device's memory was too small."""
    small = isinstance(error, torch.OutOfMemoryError)
    return small or any(sign in str(error) for sign in TOO_SMALL)


def is_lost(error: Exception) -> bool:
    """Whether a GPU failed, vanished, or was taken by others."""
    return any(sign in str(error) for sign in LOST)


def is_of_device(error: Exception) -> bool:
    """Whether an error is a device's, not of what it was given."""
    return is_out_of_memory(error) or any(name in str(error) for name in ("CUDA", "cuDNN", "HIP"))


@contextmanager
def device_errors_named(run: str) -> Iterator[None]:
    """Say what to do where a device's memory is too small, or where a GPU fails in mid-run.

    Raises InputError; ProcessEndsError where a GPU fails, and for a mistake on it, after which it
    does nothing more in this process.
    """
    try:
        yield
    except RuntimeError as error:
        reason = str(error).partition("\n")[0]
        if is_out_of_memory(error):
            raise InputError(
                f"{run}: the memory of the GPU is too small, or taken by others ({reason}). Set "
                "precision=bf16, a smaller batch_size or image_size, or device=cpu."
            ) from error
        if not is_of_device(error):
            raise
        if is_lost(error):
            raise ProcessEndsError(
                f"{run}: the GPU failed ({reason}). Finished runs are kept; run the same command "
                "again and this one goes on from its last checkpoint."
            ) from error
        raise ProcessEndsError(
            f"{run}: a mistake on the GPU ({reason}). Finished runs are kept, but the same command "
            "will most likely fail again: set graphs=off, and if that fails, too, layers=torch or "
            "device=cpu, and report it."
        ) from error


@contextmanager
def computing(precision: str) -> Iterator[None]:
    """Let cuDNN give the same bits for the same seed, and fp32 be fp32: no TF32 in convolutions."""
    exact = precision == "fp32"
    with torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=not exact):
        yield


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
