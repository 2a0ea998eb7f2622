"""The drawings of both networks say what the live modules hold."""

import matplotlib.pyplot as plt
import pytest

from ubc_lib.figures.architecture import architecture
from ubc_lib.models import parameter_table, skip_connections


def texts_of(figure) -> list[str]:
    return [text.get_text() for text in figure.findobj(plt.Text) if text.get_text()]


@pytest.mark.parametrize("model", ["resnet34", "ubc_resnet34"])
def test_every_part_is_drawn_with_its_shape_and_parameters(model):
    table = parameter_table(model, image_size=64)
    figure = architecture(table, skip_connections(model), image_size=64)
    drawn = "\n".join(texts_of(figure)).replace("\u202f", "").replace(" ", "")
    for part in table.itertuples():
        assert f"{part.output.replace('x', '×')}({part.parameters})" in drawn
    assert "level3,6blocks" in drawn
    plt.close(figure)
