"""The phantom is matched to BraTS 2019 by the published tolerances."""

import numpy as np
import pandas as pd
import pytest

from benchmarks.calibration import (
    PHANTOM_FEATURES,
    aggregate,
    compare,
    forest_table,
    read_targets,
)
from benchmarks.lesion_features import lesion_features
from ubc_lib.phantom.cohort import make_scan
from ubc_lib.study import Study

SHAPE = (240, 240, 155)
FEATURES = sorted(set(read_targets()["feature"]))


@pytest.fixture(scope="module")
def committed() -> pd.DataFrame:
    return pd.read_csv(PHANTOM_FEATURES)


@pytest.fixture(scope="module")
def comparison(committed) -> pd.DataFrame:
    return compare(read_targets(), aggregate(committed)).set_index("feature")


def test_the_committed_cohort_has_76_patients_of_each_grade(committed):
    assert committed["grade"].value_counts().to_dict() == {"HGG": 76, "LGG": 76}
    assert committed["patient"].is_unique


@pytest.mark.parametrize("feature", FEATURES)
def test_feature_lies_within_tolerance(comparison, feature):
    rows = comparison.loc[feature]
    assert rows[["mean_within", "sd_within", "auc_within"]].all(axis=None), rows.T


def test_lesions_cover_as_much_of_the_slices_as_in_the_paper(committed):
    """0.90 million positive pixels in 380 training slices of 224 × 224 pixels are 4.7 %."""
    covered = committed["lesion_area_mean_of_5_largest_slices"].mean()
    assert covered == pytest.approx(100 * 0.90e6 / (380 * 224**2), abs=0.7)


@pytest.mark.slow
def test_the_reference_random_forest_finds_it_as_hard_as_the_real_cohort(committed):
    table = forest_table(committed)
    assert table["within"].all(), table


@pytest.mark.slow
@pytest.mark.parametrize(("grade", "number"), [("HGG", 0), ("HGG", 41), ("LGG", 75)])
def test_the_committed_features_are_those_of_the_patients_made_now(committed, grade, number):
    scan = make_scan(grade, number, Study.load("paper").phantom_seed)
    expected = committed.set_index("patient").loc[scan.identifier].drop("grade")
    measured = lesion_features(scan.flair, scan.labels)
    for name, value in expected.items():
        assert measured[name] == pytest.approx(value, rel=0.02, abs=0.02, nan_ok=True), name


def test_calibration_flags_what_lies_outside():
    targets = read_targets()
    same = targets.drop(columns="unit")
    within = ["mean_within", "sd_within", "auc_within"]
    assert compare(targets, same)[within].all(axis=None)
    shifted = same.assign(mean=same["mean"] + 0.4 * same["sd"], sd=1.5 * same["sd"])
    shifted["auc_hgg"] += 0.1
    assert not compare(targets, shifted)[within].any(axis=None)


def box_patient(label: int = 2, lesion_value: int = 300) -> tuple[np.ndarray, np.ndarray]:
    """A brain of two values with a lesion of 60 × 30 × 31 mm."""
    flair = np.zeros(SHAPE, np.int16)
    flair[40:200, 40:200, 20:135] = 100
    flair[40:200, 40:200, 20:60] = 120
    labels = np.zeros(SHAPE, np.uint8)
    labels[90:150, 100:130, 80:111] = label
    flair[labels > 0] = lesion_value
    return flair, labels


def test_sizes_of_a_box():
    features = lesion_features(*box_patient())
    assert features["lesion_volume"] == pytest.approx(60 * 30 * 31 / 1000, rel=0.05)
    assert features["lesion_area_largest_slice"] == pytest.approx(100 * 1800 / 240**2, rel=0.05)
    assert features["axial_slices_with_lesion"] == pytest.approx(31, abs=1.3)
    assert 79 <= features["index_of_largest_slice"] <= 112
    assert features["lesion_components"] == 1
    # 32 × 16 pixels of 1.875 mm, of which erosion takes the outermost ring.
    assert features["perimeter_squared_over_area_largest_slice"] == pytest.approx(
        (2 * (32 + 16) - 4) ** 2 / (32 * 16), rel=0.05
    )


def test_flair_of_a_box_in_standard_deviations_over_the_brain():
    flair, labels = box_patient()
    brain = flair[flair > 0].astype(float)
    features = lesion_features(flair, labels)
    z = (300 - brain.mean()) / brain.std()
    assert features["flair_z_mean_inside_lesion"] == pytest.approx(z, rel=0.05)
    assert features["flair_z_mean_in_label_2"] == features["flair_z_mean_inside_lesion"]
    assert np.isnan(features["flair_z_mean_in_label_4"])
    assert features["flair_z_mean_around_lesion"] < 0


def test_label_fractions_add_up():
    flair, labels = box_patient()
    labels[90:105, 100:130, 80:111] = 1
    labels[105:120, 100:130, 80:111] = 4
    features = lesion_features(flair, labels)
    assert features["core_fraction_of_lesion"] == pytest.approx(0.25, abs=0.02)
    assert features["enhancing_fraction_of_lesion"] == pytest.approx(0.25, abs=0.02)
    assert features["oedema_fraction_of_lesion"] == pytest.approx(0.5, abs=0.02)


def test_islands_below_50_voxels_are_no_components():
    flair, labels = box_patient()
    labels[60:63, 60:63, 80:83] = 2
    assert lesion_features(flair, labels)["lesion_components"] == 1
    labels[60:75, 60:75, 80:95] = 2
    assert lesion_features(flair, labels)["lesion_components"] == 2


def test_a_lesion_at_the_edge_of_the_volume_is_measured():
    flair, labels = box_patient()
    labels[:] = 0
    labels[40:60, 40:60, 20:30] = 2
    assert np.isfinite(lesion_features(flair, labels)["flair_z_mean_inside_lesion"])
