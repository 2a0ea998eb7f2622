"""What Sobyanin & Kulikova (2024) print: the numbers that ours are set beside."""

from dataclasses import dataclass

from ubc_lib.study import Study

DUMMY = "dummy"  # the classifier that guesses, the last row of Table 3
IMAGES_PER_CLASS = 190  # with which Table 3 was trained


@dataclass(frozen=True)
class Printed:
    """A row of Table 3; None where it prints nothing."""

    parameters: float | None
    mask_pixels: float | None
    accuracy: float
    half_width: float
    dice: float | None


# On 380 test slices.
TABLE_3 = {
    "resnet34": Printed(21.3e6, None, 0.71, 0.05, None),
    "ubc_resnet34": Printed(24.4e6, 0.90e6, 0.81, 0.04, 0.77),
    DUMMY: Printed(None, None, 0.50, 0.05, None),
}
DIFFERENCE = round(TABLE_3["ubc_resnet34"].accuracy - TABLE_3["resnet34"].accuracy, 2)
DICE = TABLE_3["ubc_resnet34"].dice

# The training loss of every model is said to level off before this epoch.
PLATEAU = 100

# Tables 1 and 2, parameters of each part.
PARAMETERS = {
    "encoder stem": 3_264,
    "encoder level 1": 221_952,
    "encoder level 2": 1_116_416,
    "encoder level 3": 6_822_400,
    "encoder level 4": 13_114_368,
    "decoder level 1": 2_360_320,
    "decoder level 2": 590_336,
    "decoder level 3": 147_712,
    "decoder level 4": 46_208,
    "decoder level 5": 6_976,
    "segmentation head": 145,
    "classifier": 1_026,
}


def printed(study: Study) -> dict[str, Printed]:
    """The rows of Table 3 by model, and of the dummy; none where patients are of another kind."""
    return TABLE_3 if study.of_paper else {}
