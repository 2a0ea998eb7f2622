"""One model for a whole study: how the odds of a right answer change with model and images."""

import warnings

import numpy as np
import pandas as pd
import statsmodels.api as sm

from ubc_lib.results.runs import whole_curves
from ubc_lib.statistics.checks import check_predictions
from ubc_lib.study import Study
from ubc_lib.system.errors import InputError

# Fitted probabilities closer to 0 or 1 mean that the odds are infinite.
SEPARATED = 1e-4
# Standard errors that are rounding alone, as where both models answer alike.
NO_VARIATION = 1e-6


def odds_ratios(study: Study, predictions: pd.DataFrame) -> pd.DataFrame:
    """Logistic model of a right answer by generalised estimating equations, clustered by patient.

    logit P(correct) = intercept + model + log2(images per class) + model × log2(images per class),
    with log2 centred on its mean over the study's sizes, and a term for each model but the baseline
    (without its runs, the first that has any). Terms that do not vary in the study are left out.
    Working correlation: independence; variances are the robust ones, which are somewhat small below
    50 patients. `correct` enters as the fraction that it is. All slices and seeds of a patient are
    one cluster; the trained networks count as given. Seeds: see `whole_curves`.
    Columns term, odds_ratio, low, high (95 %), p; all NaN where a model or a size is all but
    always right, or wrong, which leaves no finite odds; no interval where a term does not vary
    between patients.

    predictions: see `Runs.predictions`; InputError where `check_predictions` refuses them, or they
    are of fewer than two patients.

    Source: Liang & Zeger, Longitudinal data analysis using generalized linear models, Biometrika 73
    (1986) 13–22.
    """
    check_predictions(predictions)
    if predictions["patient"].nunique() < 2:
        raise InputError("A model clustered by patient needs at least two patients.")
    # Slices of a patient under the same model and size have the same terms, so their mean with
    # their number as weight gives the same equations.
    cells = (
        whole_curves(predictions)
        .groupby(["patient", "model", "images_per_class"], as_index=False)
        .agg(correct=("correct", "mean"), slices=("correct", "size"))
    )
    terms = _terms(study, cells)
    with warnings.catch_warnings(), np.errstate(invalid="ignore"):
        # Answers that separate are seen below.
        warnings.simplefilter("ignore")
        fitted = sm.GEE(
            cells["correct"].to_numpy(),
            terms.to_numpy(),
            groups=cells["patient"].to_numpy(),
            family=sm.families.Binomial(),
            cov_struct=sm.cov_struct.Independence(),
            weights=cells["slices"].to_numpy(),
        ).fit(cov_type="robust")
        low, high = np.exp(fitted.conf_int()).T
        table = pd.DataFrame(
            {
                "odds_ratio": np.exp(fitted.params),
                "low": low,
                "high": high,
                "p": fitted.pvalues,
            }
        )
        table.loc[~(fitted.bse > NO_VARIATION), ["low", "high", "p"]] = np.nan
    if fitted.fittedvalues.min() < SEPARATED or fitted.fittedvalues.max() > 1 - SEPARATED:
        table[:] = np.nan
    table.insert(0, "term", terms.columns)
    return table


def _terms(study: Study, cells: pd.DataFrame) -> pd.DataFrame:
    sizes = np.log2(np.sort(cells["images_per_class"].unique()))
    doublings = np.log2(cells["images_per_class"]) - sizes.mean()
    there = [model for model in study.models if model in set(cells["model"])]
    reference = study.baseline if study.baseline in there else there[0]
    others = {
        study.labels[model]: (cells["model"] == model).astype(float)
        for model in there
        if model != reference
    }
    terms = {"intercept (odds)": np.ones(len(cells))}
    middle = f"{2 ** sizes.mean():.0f} images per class"
    terms |= {f"{label}, at {middle}": one for label, one in others.items()}
    if len(sizes) > 1:
        terms["twice the images"] = doublings
        terms |= {f"{label} × twice the images": one * doublings for label, one in others.items()}
    return pd.DataFrame(terms)
