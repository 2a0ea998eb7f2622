"""The drawings of both networks say what the live modules hold."""

import matplotlib.pyplot as plt
import pytest

from ubc_lib.figures.architecture import architecture, skip_connections
from ubc_lib.models import build_model, parameter_table


def texts_of(figure) -> list[str]:
    return [text.get_text() for text in figure.findobj(plt.Text) if text.get_text()]


@pytest.mark.parametrize("model", ["resnet34", "ubc_resnet34"])
def test_every_part_is_drawn_with_its_shape_and_parameters(model):
    figure = architecture(model, image_size=64)
    drawn = "\n".join(texts_of(figure)).replace("\u202f", "").replace(" ", "")
    for part in parameter_table(model, image_size=64).itertuples():
        assert f"{part.output.replace('x', '×')}({part.parameters})" in drawn
    plt.close(figure)


def test_four_of_five_decoder_levels_have_a_skip_connection():
    assert skip_connections(build_model("ubc_resnet34", seed=0)) == {
        "decoder level 1": "encoder level 3",
        "decoder level 2": "encoder level 2",
        "decoder level 3": "encoder level 1",
        "decoder level 4": "encoder stem",
    }


def test_the_baseline_has_no_skip_connections():
    assert skip_connections(build_model("resnet34", seed=0)) == {}
