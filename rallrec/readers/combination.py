"""Several readers together."""

import numpy as np

from ..evaluation.calibration import rising


def combine(valid: list[np.ndarray], liked: np.ndarray, asked: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """P(like) from several readers' P(like): a logistic regression on their logits, fitted on validation samples.

    What a small LLM can't see, say how well a film is liked in general, another reader tells. Beside others a
    reader may have a negative weight. Alone it is only calibrated, and its order stays (see `calibration.rising`).

    Args:
        valid: each reader's P(like) of the validation samples. liked: their labels.
        asked: each reader's P(like) of the samples to predict, in the same order of readers.

    Returns:
        float64 [n_asked], and the readers' weights in units of their spread, [n_readers].
    """
    x, new = (np.stack([_logit(p) for p in ps], axis=1) for ps in (valid, asked))
    mean, spread = x.mean(0), np.where(np.ptp(x, axis=0) > 0, x.std(0), 1.0)  # 1: a reader that says the same of all
    model = rising((x - mean) / spread, liked, c=1.0)
    return model.predict_proba((new - mean) / spread)[:, 1], model.coef_[0]


def _logit(p: np.ndarray) -> np.ndarray:
    p = np.clip(np.asarray(p, float), 1e-4, 1 - 1e-4)
    return np.log(p / (1 - p))
