"""Which precision a processor gets."""

import pytest
import torch

from ubc_lib.system.errors import InputError
from ubc_lib.training.device import (
    choose_device,
    choose_precision,
    cpu_gains_from_bf16,
    device_errors_named,
    processor_name,
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


def test_a_gpu_that_is_too_small_ends_with_what_to_set():
    with pytest.raises(InputError, match=r"GPUS=1.*precision=bf16"), device_errors_named("run"):
        raise torch.OutOfMemoryError("CUDA out of memory")
