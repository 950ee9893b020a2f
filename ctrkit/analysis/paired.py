"""Say whether two models that scored the same rows differ by more than chance."""

from __future__ import annotations

from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from ctrkit.analysis.delong import classes, placements, variance_of_mean
from ctrkit.analysis.influence import influences, losses
from ctrkit.analysis.scored import scored
from ctrkit.errors import ConfigError

CONFIDENCE = 0.95


class Difference(NamedTuple):
    """A metric of the second model minus that of the first, on the same rows."""

    value: float
    low: float  # Bounds of the interval that holds the true difference with the chosen confidence.
    high: float
    p: float  # Chance of a difference at least so far from 0 between models that are equally good; two-sided.

    @property
    def is_significant(self) -> bool:
        """Whether the interval leaves out 0."""
        return self.low > 0 or self.high < 0


def auc_difference(
    labels: ArrayLike,
    first: ArrayLike,
    second: ArrayLike,
    weights: ArrayLike | None = None,
    *,
    confidence: float = CONFIDENCE,
) -> Difference:
    """Return the AUC of `second` minus that of `first`, by DeLong's paired test: what both share cancels out.

    Rows count as independent; where a user has many of them `metric_differences` with groups is the honest one.

    Args:
        labels: 0 or 1, `[n]` or `[n, 1]`.
        first, second: the two models' scores of these rows, same shape; any numbers that grow with the chance.
        weights: non-negative, same shape; None: all equal.
        confidence: of the interval.
    Returns:
        All NaN where one class is absent.
    Raises:
        ConfigError: a confidence outside (0, 1).
        ShapeError, CtrkitError: as `ctrkit.analysis.scored.scored` says.
    Source: DeLong et al., "Comparing the areas under two or more correlated ROC curves", Biometrics 1988.
    """
    one, two = scored(labels, first, weights), scored(labels, second, weights)
    a, b = placements(one), placements(two)
    if np.isnan(a.auc):
        return Difference(np.nan, np.nan, np.nan, np.nan)
    click, other = classes(one)
    variance = variance_of_mean(b.below - a.below, click) + variance_of_mean(b.above - a.above, other)
    return normal_difference(b.auc - a.auc, variance, confidence)


def log_loss_difference(
    labels: ArrayLike,
    first: ArrayLike,
    second: ArrayLike,
    weights: ArrayLike | None = None,
    *,
    confidence: float = CONFIDENCE,
) -> Difference:
    """Return the log loss of `second` minus that of `first`, in nats, from the spread of the rows' own differences.

    Scores are probabilities. The interval is the normal one, which a bootstrap approaches with the number of rows.
    Arguments and errors as `auc_difference`; `CtrkitError` too for a score outside [0, 1].
    """
    one, two = scored(labels, first, weights), scored(labels, second, weights)
    if one.weights.sum() == 0:
        return Difference(np.nan, np.nan, np.nan, np.nan)
    of_rows = losses(two) - losses(one)
    value = float((one.weights * of_rows).sum() / one.weights.sum())
    return normal_difference(value, variance_of_mean(of_rows, one.weights), confidence)


def metric_differences(
    labels: ArrayLike,
    first: ArrayLike,
    second: ArrayLike,
    weights: ArrayLike | None = None,
    groups: ArrayLike | None = None,
    *,
    confidence: float = CONFIDENCE,
) -> dict[str, Difference]:
    """Return every metric of `second` minus that of `first`: auc, log_loss, pcoc and, of groups, grouped_auc.

    Without `groups` AUC and log loss are those of `auc_difference` and `log_loss_difference`. With them, integers
    `[n]`, the rows of one group count as drawn together (a user's rows are alike), for every metric.

    Arguments and errors as `auc_difference`; metrics that the rows do not define are left out.
    """
    keys = None if groups is None else np.asarray(groups).reshape(-1)
    one = influences(scored(labels, first, weights), keys)
    two = influences(scored(labels, second, weights), keys)
    found: dict[str, Difference] = {
        name: normal_difference(
            two[name].estimate - one[name].estimate,
            one[name]._replace(parts=two[name].parts - one[name].parts).variance,
            confidence,
        )
        for name in ("auc", "log_loss", "pcoc", "grouped_auc")
        if name in one
    }
    if groups is None:
        found["log_loss"] = log_loss_difference(labels, first, second, weights, confidence=confidence)
        if "auc" in found:
            found["auc"] = auc_difference(labels, first, second, weights, confidence=confidence)
    return found


def normal_difference(value: float, variance: float, confidence: float = CONFIDENCE) -> Difference:
    """A difference with the interval and the p-value of a normal distribution of this variance."""
    if not 0 < confidence < 1:
        raise ConfigError(f"`confidence` is {confidence!r}, expected a share between 0 and 1, e.g. 0.95.")
    spread = variance**0.5
    if spread == 0:  # The same scores, or an order that leaves nothing to chance.
        return Difference(value, value, value, 1.0 if value == 0 else 0.0)
    reach = NormalDist().inv_cdf((1 + confidence) / 2) * spread
    return Difference(value, value - reach, value + reach, 2 * NormalDist().cdf(-abs(value) / spread))
