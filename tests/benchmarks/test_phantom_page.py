"""The page on the phantom shows the committed feature table and nothing else."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from benchmarks.calibration import CALIBRATION, PHANTOM_FEATURES, forest_table
from benchmarks.phantom_page import PAGE, comparison_table, quantile_figure, slice_figure
from tests.conftest import brain, write_patient

SHAPE = (240, 240, 3)


@pytest.fixture(scope="module")
def features() -> pd.DataFrame:
    return pd.read_csv(PHANTOM_FEATURES)


@pytest.fixture(autouse=True)
def no_open_figures():
    yield
    plt.close("all")


def test_committed_table_is_that_of_the_committed_features(features):
    committed = pd.read_csv(CALIBRATION / "comparison.csv", dtype=str)
    pd.testing.assert_frame_equal(comparison_table(features).astype(str), committed)


@pytest.mark.slow
def test_committed_forest_is_that_of_the_committed_features(features):
    committed = pd.read_csv(CALIBRATION / "random_forest.csv")
    assert np.allclose(forest_table(features)["Phantom"], committed["Phantom"], atol=0.02)


def test_table_names_what_lies_outside_the_tolerance(features):
    high = features["grade"] == "HGG"
    features = features.assign(lesion_volume=features["lesion_volume"].mask(high, 1000.0))
    table = comparison_table(features).set_index("Feature")
    assert table.loc["lesion volume", "Outside tolerance"] == "HGG mean HGG sd AUC"


def test_figure_shows_every_feature_of_both_cohorts(features):
    figure = quantile_figure(features)
    titles = [axis.get_title().replace("\n", " ") for axis in figure.axes if axis.get_title()]
    assert titles == list(comparison_table(features)["Feature"])


def test_slice_figure_outlines_the_lesion_of_each_patient(tmp_path):
    for grade in ("HGG", "LGG"):
        mask = np.zeros(SHAPE, np.uint8)
        mask[90:150, 80:140, 2] = 2
        folder = tmp_path / grade / f"Phantom19_S03_00{1 + (grade == 'LGG')}_1"
        write_patient(folder, brain(1, SHAPE), mask)
    figure = slice_figure(tmp_path, columns=1, rows=1)
    assert [axis.get_title() for axis in figure.axes] == ["HGG, site S03", "LGG, site S03"]
    for axis in figure.axes:
        (contour,) = axis.collections
        outline = contour.get_paths()[0].vertices
        assert np.ptp(outline, axis=0) == pytest.approx([60, 60])


def test_the_page_has_its_figures():
    for name in ("features.svg", "slices.webp"):
        assert (PAGE / name).stat().st_size > 1000
