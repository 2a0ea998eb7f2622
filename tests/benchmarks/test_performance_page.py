"""The page on performance says what the benchmark's tables say."""

import pandas as pd
import pytest

from benchmarks.performance_page import (
    BENCHMARKS,
    PAGE,
    floors,
    gpu_table,
    noise_text,
    pieces_table,
    run_table,
    speed_table,
    target_table,
    write_page,
)

MACHINE = {
    "machine": "CPU (one, 1 thread)",
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
    ("precision", "ratio", "images", "expected"),
    [
        ("fp32", 1.2, 25, "1.20 (1.3 not met)"),
        ("fp32", 1.4, 25, "1.40 (1.3 met)"),
        ("bf16", 2.1, 25, "2.10 (2.2 not met)"),
        ("bf16", 2.1, 5, "2.10 (2.0 met)"),
    ],
)
def test_every_aim_says_whether_it_was_met(precision, ratio, images, expected):
    rates = {"reference": [1.0], "ubc_lib": [ratio]}
    found = target_table(speed(rates, images_per_class=images, precision=precision))
    assert found.set_index("Phase")[f"{images} per class"]["training"] == expected


def test_an_aim_beyond_the_floor_says_so():
    rates = {"reference": [4.0], "ubc_lib": [4.2]}  # the floor is at 4.6, by the test above
    found = target_table(speed(rates)).set_index("Phase")["25 per class"]
    assert found["training"] == "1.05 (1.3 not met, floor 1.2)"


def test_machines_are_not_mixed():
    one = engine({"reference": [1.0], "ubc_lib": [1.0]})
    other = one.assign(machine="CPU (other, 1 thread)", epochs=1, run_seconds=3.0)
    both = pd.concat([one.assign(epochs=1, run_seconds=1.0), other])
    table = run_table(both.assign(start_up_seconds=1.0, peak_memory_mb=1.0))
    shown = table.groupby("Machine")["25 per class"].unique().explode().tolist()
    assert shown == ["1.0 (1)", "3.0 (1)"]
    assert table["Machine"].unique().tolist() == ["one", "other"]


def test_a_gpus_single_measurement_is_shown_beside_the_reference_with_its_commit():
    row = {"machine": "One GPU", "commit": "abc", "model": "resnet34", "image_size": 224}
    row |= {"images_per_class": 5, "training": 300, "training_reference": 200}
    row |= {"evaluation_ratio": 4.0, "memory_gb": 2.0}
    shown = gpu_table(pd.DataFrame([row])).iloc[0].tolist()
    assert shown == ["One GPU, commit abc", "ResNet34", 224, 5, 300, "1.5", "4.0", 2.0]


def test_the_noise_is_the_spread_between_repeats_that_took_turns():
    text = noise_text(engine({"reference": [1.0, 2.0], "ubc_lib": [3.0, 9.0]}))
    assert "more than once: 1." in text
    assert "more than 1.50 times the smallest, at most 1.50 times" in text


def test_of_a_single_repeat_the_noise_is_not_known():
    text = noise_text(engine({"reference": [1.0], "ubc_lib": [3.0]}))
    assert "not known" in text


def test_a_piece_is_shown_with_the_spread_between_repeats():
    row = {"machine": "CPU (one, 1 thread)", "precision": "fp32", "model": "resnet34"}
    row |= {"image_size": 64, "piece": "small maps", "times": 1.42, "least": 1.37, "largest": 1.5}
    assert pieces_table(pd.DataFrame([row])).iloc[0].tolist() == [
        "one, fp32",
        "ResNet34, 64 px",
        "small maps",
        "1.42 (1.37 to 1.50)",
    ]


def test_the_committed_page_is_of_the_committed_benchmark(tmp_path):
    write_page(BENCHMARKS, tmp_path)
    for path in [*tmp_path.glob("*.csv"), *tmp_path.glob("*.md")]:
        assert path.read_text() == (PAGE / path.name).read_text(), path.name
