"""The page on performance says what the benchmark's tables say."""

import pandas as pd
import pytest

from ubc_lib.performance_page import (
    BENCHMARKS,
    PAGE,
    floors,
    speed_table,
    target_table,
    write_page,
)

MACHINE = {
    "machine": "CPU (one, 1 thread(s))",
    "fp32_gflops": 100.0,
    "bf16_gflops": 400.0,
    "bandwidth_gb_per_second": 10.0,
    "resnet34_parameters": 20e6,
    "ubc_resnet34_parameters": 25e6,
}


def engine(rates: dict[str, list[float]], images_per_class: int = 25, precision="fp32"):
    """Rows of ResNet34 at 224 pixels: images per second of each loop and repeat."""
    return pd.DataFrame(
        {
            "machine": MACHINE["machine"],
            "engine": name,
            "model": "resnet34",
            "image_size": 224,
            "images_per_class": images_per_class,
            "repeat": repeat,
            "precision": precision if name == "ubc_lib" else "fp32",
            "training_images_per_second": rate,
            "evaluation_images_per_second": 2 * rate,
        }
        for name, values in rates.items()
        for repeat, rate in enumerate(values)
    )


def speed(*arguments, **options) -> pd.DataFrame:
    return speed_table(engine(*arguments, **options), pd.DataFrame([MACHINE]))


def test_ratios_are_of_medians_over_repeats():
    row = speed({"reference": [1.0, 2.0, 9.0], "ubc_lib": [3.0, 5.0, 4.0]}).iloc[0]
    assert row["training_ratio"] == 2
    assert row["evaluation_ratio"] == 2


@pytest.mark.parametrize(("precision", "rate"), [("fp32", 100e9), ("bf16", 400e9)])
def test_the_floor_is_arithmetic_and_the_optimizers_traffic(precision, rate):
    table = speed({"reference": [1.0], "ubc_lib": [1.0]}, precision=precision)
    found = floors(table)
    seconds = 3 * 7.2e9 / rate + 28 * 20e6 / 10e9 / 50  # 50 images: one batch, one step
    assert found["training_floor"][0] == pytest.approx(1 / seconds)
    assert found["evaluation_floor"][0] == pytest.approx(rate / 7.2e9)


@pytest.mark.parametrize(
    ("ratio", "images", "expected"),
    [
        (1.2, 25, ["1.3, not met", "2.2, not met"]),
        (1.4, 25, ["1.3, met", "2.2, not met"]),
        (2.1, 5, ["1.3, met", "2.0, met"]),
    ],
)
def test_every_aim_says_whether_it_was_met(ratio, images, expected):
    found = target_table(speed({"reference": [1.0], "ubc_lib": [ratio]}, images_per_class=images))
    aims = ["Aim without fast bf16", "Aim with fast bf16"]
    assert found.loc[found["Phase"] == "training", aims].iloc[0].tolist() == expected


def test_the_committed_page_is_of_the_committed_benchmark(tmp_path):
    write_page(BENCHMARKS, tmp_path)
    for path in sorted(tmp_path.glob("*.csv")):
        assert path.read_text() == (PAGE / path.name).read_text(), path.name
