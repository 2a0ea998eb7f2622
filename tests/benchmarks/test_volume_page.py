"""The volume of the book's viewer is a phantom, small, and that of today's generator."""

import matplotlib.pyplot as plt
import nibabel as nib
import numpy as np
import pytest

from benchmarks.volume_page import FOLDER, still_figure, viewer_volumes


@pytest.fixture(scope="module")
def volumes():
    return viewer_volumes()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["flair", "lesion"])
def test_the_committed_volume_is_what_the_generator_gives(volumes, name):
    committed, made = nib.load(FOLDER / f"{name}.nii.gz"), volumes[name]
    assert np.allclose(committed.affine, made.affine)
    difference = np.asarray(committed.dataobj, int) - np.asarray(made.dataobj, int)
    assert np.mean(np.abs(difference) > 1) < 0.001


@pytest.mark.slow
def test_voxels_are_2_mm_and_stay_where_they_were(volumes):
    for volume in volumes.values():
        assert np.allclose(nib.affines.voxel_sizes(volume.affine), 2)
        middle = nib.affines.apply_affine(volume.affine, np.array(volume.shape) / 2)
        assert np.abs(middle - [-120, 119, 77]).max() < 30


@pytest.mark.slow
def test_the_still_picture_shows_three_sections_with_the_lesion(volumes):
    figure = still_figure(volumes)
    assert all(axes.images and axes.collections for axes in figure.axes)
    assert len(figure.axes) == 3
    plt.close(figure)


def test_what_the_page_fetches_is_small():
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < 250_000
