"""Which precision a processor gets."""

import pytest
import torch

from ubc_lib.system.errors import InputError, ProcessEndsError
from ubc_lib.training.device import (
    choose_device,
    choose_precision,
    computing,
    cpu_gains_from_bf16,
    device_errors_named,
    processor_name,
    unused_gpu,
    use_card,
)


@pytest.mark.parametrize(
    ("capabilities", "gains"),
    [
        ({}, False),
        ({"cpu_name": "AMD EPYC", "avx512_bf16": True}, True),
        ({"cpu_name": "AMD EPYC", "avx512_bf16": False}, False),
        ({"cpu_name": "Intel Xeon", "avx512_bf16": True, "amx_bf16": False}, False),
        ({"cpu_name": "Intel Xeon", "avx512_bf16": True, "amx_bf16": True}, True),
    ],
)
def test_bf16_is_for_processors_that_gain_from_it(capabilities, gains):
    assert cpu_gains_from_bf16(capabilities) is gains


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_precision_that_is_asked_for_is_kept(precision):
    assert choose_precision(precision, torch.device("cpu")) == precision


def test_a_processor_with_tile_units_is_named_apart_from_one_without():
    assert processor_name({"cpu_name": "Intel Xeon", "amx_bf16": True}) == "Intel Xeon with AMX"
    assert processor_name({"cpu_name": "Intel Xeon", "amx_bf16": False}) == "Intel Xeon"


def test_a_gpu_that_is_not_there_is_refused_by_name(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device("auto") == torch.device("cpu")
    with pytest.raises(InputError, match="device=cuda"):
        choose_device("cuda")


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("GET was unable to find an engine to execute this computation"),
        RuntimeError("CUDA error: out of memory\nCUDA kernel errors might be reported later"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    ],
)
def test_a_gpu_that_is_too_small_ends_with_what_to_set(error):
    told = r"run: the memory.*precision=bf16"
    with pytest.raises(InputError, match=told), device_errors_named("run"):
        raise error


@pytest.mark.parametrize(
    "reason",
    [
        "CUDA error: uncorrectable ECC error encountered",
        "CUDA error: CUDA-capable device(s) is/are busy or unavailable",
    ],
)
def test_a_gpu_that_fails_asks_for_the_same_command_again(reason):
    error = RuntimeError(f"{reason}\nCompile with TORCH_USE_CUDA_DSA")
    with pytest.raises(ProcessEndsError, match=r"the GPU failed .*same command again"):  # noqa: SIM117
        with device_errors_named("run"):
            raise error


@pytest.mark.parametrize(
    "reason",
    [
        "CUDA error: an illegal memory access was encountered",
        "CUDA error: device-side assert triggered",
        "CUDA error: operation not permitted when stream is capturing",
        "cuDNN error: CUDNN_STATUS_EXECUTION_FAILED",
    ],
)
def test_a_mistake_on_a_gpu_is_not_called_a_lost_one_and_names_ways_around_it(reason):
    told = r"run: a mistake on the GPU .*graphs=off.*report it"
    with pytest.raises(ProcessEndsError, match=told), device_errors_named("run"):
        raise RuntimeError(reason)


def test_other_errors_pass_as_they_are():
    with pytest.raises(RuntimeError, match=r"^shapes$"), device_errors_named("run"):
        raise RuntimeError("shapes")


@pytest.mark.parametrize(("precision", "allowed"), [("fp32", False), ("bf16", True)])
def test_fp32_is_not_tf32_and_what_was_set_comes_back(precision, allowed):
    cudnn = torch.backends.cudnn
    before = cudnn.allow_tf32, cudnn.deterministic, cudnn.enabled
    with computing(precision):
        assert (cudnn.allow_tf32, cudnn.deterministic, cudnn.enabled) == (allowed, True, True)
    assert (cudnn.allow_tf32, cudnn.deterministic, cudnn.enabled) == before


def test_a_gpu_that_torch_cannot_use_is_told(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr("shutil.which", lambda name: None)
    assert unused_gpu() is None
    monkeypatch.setattr("shutil.which", lambda name: "/bin/nvidia-smi")
    assert "driver is too old" in unused_gpu()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert unused_gpu() is None


def test_cards_are_counted_round_among_those_that_a_process_sees(monkeypatch):
    chosen = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    for part in range(3):
        use_card(part)
    assert chosen == [0, 1, 0]
