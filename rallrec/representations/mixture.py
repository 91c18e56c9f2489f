"""The mixture of representations (paper, section 2.2.4)."""

import numpy as np

from ..infra.errors import InputError, one_of
from ..retrieval.retrieve import Representation

KINDS = ("txt", "text", "colla", "ssl", "mix", "mix2", "mix3", "hybrid")


def principal_components(x: np.ndarray, n: int = 128) -> np.ndarray:
    """The first ``n`` principal components of the rows, [n_items, min(n, n_items, d)]."""
    from sklearn.decomposition import PCA

    n = min(n, *x.shape)
    return PCA(n, svd_solver="full").fit_transform(x.astype(np.float64)).astype(np.float32)


def scaled(x: np.ndarray) -> np.ndarray:
    """Rows divided by the largest row norm, so that parts of a mixture weigh alike."""
    return x / max(np.linalg.norm(x, axis=1).max(), np.finfo(np.float32).tiny)


def mix(text: np.ndarray, colla: np.ndarray, ssl: np.ndarray | None = None, weights=(1.0, 1.0, 1.0)) -> np.ndarray:
    """The mixture ``[PCA128(text) ; colla ; ssl]``, each divided by its largest row norm (paper, section 2.2.4).

    Args:
        text: [n_items, d_llm]. colla, ssl: [n_items, d]. Without ``ssl`` this is the variant ``mix``.
        weights: of the parts; the paper's are equal.

    Returns:
        float32 [n_items, d_mix].
    """
    parts = [principal_components(text), colla] + ([] if ssl is None else [ssl])
    if len({len(p) for p in parts}) > 1:
        raise InputError(f"text, colla and ssl have {[len(p) for p in parts]} rows; they must describe the same items")
    return weighed(parts, weights)


def weighed(parts, weights) -> np.ndarray:
    """The parts side by side, each divided by its largest row norm and multiplied by its weight."""
    return np.concatenate([w * scaled(p) for w, p in zip(weights, parts, strict=False)], axis=1).astype(np.float32)


def represent(kind: str, txt: np.ndarray, text: np.ndarray, colla: np.ndarray, ssl: np.ndarray) -> Representation:
    """A representation by its name in the paper's ablation.

    Args:
        kind: ``txt`` (plain template), ``text`` (description), ``colla``, ``ssl``, ``mix`` (text and
            colla), ``mix3`` (and ssl: the method's own), ``mix2`` (mean of two softmaxes), ``hybrid``.
    """
    one_of("representation", kind, KINDS)
    match kind:
        case "txt":
            return Representation(kind, (txt,))
        case "text":
            return Representation(kind, (text,))
        case "colla":
            return Representation(kind, (colla,))
        case "ssl":
            return Representation(kind, (ssl,))
        case "mix":
            return Representation(kind, (mix(text, colla),))
        case "mix3":
            return Representation(kind, (mix(text, colla, ssl),))
        case "mix2":
            return Representation(kind, (text, colla), "softmax")
        case "hybrid":
            return Representation(kind, (text, colla), "halves")
