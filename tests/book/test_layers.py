"""Slices as HTML: what lies on top, and what is said below."""

import re

import numpy as np
import pandas as pd

from tests.result_samples import some_slices
from ubc_lib.book.layers import answer_gallery, stacked

ANSWERS = pd.DataFrame(
    {
        "row": [1, 4],
        "right": [True, False],
        "label": ["HGG", "HGG"],
        "answer": ["HGG", "LGG"],
        "confidence": [0.99, 0.8],
    }
)


def test_layers_lie_in_one_place_in_their_order():
    markup = stacked(["under", "over"])
    assert markup.count("grid-area: 1 / 1") == 2
    assert markup.index("under") < markup.index("over")


def test_a_gallery_shows_right_answers_then_wrong_ones_with_the_true_class():
    shown = answer_gallery(some_slices(), ANSWERS)
    said = re.findall(r"(Right|Wrong|[HL]GG 0[^<]*)<", shown)
    assert said == ["Right", "HGG 0.99", "Wrong", "LGG 0.80, true: HGG"]


def test_a_gallery_has_lesions_always_and_responses_where_there_are_some():
    plain = answer_gallery(some_slices(), ANSWERS)
    coloured = answer_gallery(some_slices(), ANSWERS, np.full((2, 32, 32), 0.5))
    assert plain.count("Outline of the lesion") == coloured.count("Outline of the lesion") == 2
    assert (plain.count("Response"), coloured.count("Response")) == (0, 2)


def test_a_model_that_was_never_wrong_is_said_to_be_so():
    assert "<b>Wrong</b></p><p>none</p>" in answer_gallery(some_slices(), ANSWERS[:1])
