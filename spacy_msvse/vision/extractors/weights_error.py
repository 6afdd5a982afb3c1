"""The error of weights that cannot be used."""

from ...errors import Errors, MsvseError


class WeightsError(MsvseError):
    """Weights that are missing, or that do not fit the model (MSVSE-E171).

    `NetworkExtractor` replaces it by an error that names the extractor.

    Args:
        weights (str): The source of the weights.
        reason (str): The reason.
    """

    def __init__(self, weights: str, reason: str) -> None:
        super().__init__(Errors.E171.format(weights=weights, reason=reason))
        self.reason = reason
