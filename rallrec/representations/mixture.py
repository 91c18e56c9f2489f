"""The mixture of representations (paper, section 2.2.4), and the registry of all of them.

A representation is made of the parts of a study: ``study["title"]`` and ``study["description"]`` [n_items, d_llm],
``study["text"]`` [n_items, 2 d_llm], ``study["colla"]`` and ``study["ssl"]`` [n_items, d]. Whose each one is:

- *paper*: ``text``, ``colla``, ``ssl``, ``concatenation``, ``mixture`` (the method's), ``hybrid`` (its baseline).
- *ReLLa*: ``title``. *released code*: ``description``, ``mix2``, ``mix3``.
- one thing of the mixture changed: ``mixture, description``, ``mixture, title``, ``mixture, two-sided``,
  ``mixture, principal components``.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..infra.errors import InputError, at_least, within
from ..infra.registry import Registry
from ..retrieval.retrieve import Representation, matrix, norms, unit


def principal_components(x: np.ndarray, n: int = 128) -> np.ndarray:
    """The first ``n`` principal components of the rows, [n_items, min(n, n_items, d)] (released code)."""
    from sklearn.decomposition import PCA

    n = min(at_least("n", n, 1), *matrix("what is reduced", x).shape)
    with np.errstate(divide="ignore", invalid="ignore"):  # shares of the variance, where all rows are the same
        return PCA(n, svd_solver="full").fit_transform(x.astype(np.float64)).astype(np.float32)


def scaled(x: np.ndarray) -> np.ndarray:
    """Rows divided by the largest row norm (released code)."""
    return x / max(norms(x).max(), np.finfo(np.float32).tiny)


def text(title: np.ndarray, description: np.ndarray) -> np.ndarray:
    """``e_text = [e_title ; e_desc]``, [n_items, 2 d_llm] (paper, section 2.2.1).

    Raises:
        InputError: no matrices with a row an item.
    """
    if len(matrix("title", title)) != len(matrix("description", description)):
        raise InputError(f"title and description have {len(title)} and {len(description)} rows; give one an item")
    return np.concatenate([title, description], axis=1)


def mix(*parts: np.ndarray, weights: Sequence[float] | None = None) -> np.ndarray:
    """The parts side by side, each row of each at unit length (paper, section 2.2.4).

    The paper's mixture is ``[e_text / |e_text| ; e_colla / |e_colla| ; e_ssl / |e_ssl|]``.

    Args:
        parts: [n_items, d] each. weights: of the parts; equal by default, as the paper's are.

    Returns:
        float32 [n_items, sum of d].
    """
    return weighed(parts, weights, unit)


def weighed(parts: Sequence[np.ndarray], weights: Sequence[float] | None = None, scale: Callable = unit) -> np.ndarray:
    """The parts side by side, each scaled and multiplied by its weight.

    Raises:
        InputError: parts that are no matrices of numbers, or of different lengths; weights that are not one a part,
            or not as `weights_of_parts` asks.
    """
    if len({len(matrix("a part of a mixture", p)) for p in parts}) > 1:
        raise InputError(
            f"the parts of a mixture have {[len(p) for p in parts]} rows; they must describe the same items"
        )
    weights = (1,) * len(parts) if weights is None else weights_of_parts(weights)
    if len(weights) != len(parts):
        raise InputError(f"weights are {weights}; give {len(parts)} of them, one a part")
    return np.concatenate([w * scale(p) for w, p in zip(weights, parts, strict=True)], axis=1).astype(np.float32)


def weights_of_parts(weights: Sequence[float]) -> tuple[float, ...]:
    """Weights as a tuple.

    Raises:
        InputError: one of them is no finite number of at least 0, or all of them are 0.
    """
    try:
        weights = tuple(within("weight", w, 0) for w in weights)
    except TypeError as e:
        raise InputError(f"weights are {weights!r}; give a number for each part") from e
    if not any(weights):
        raise InputError(f"weights are {weights}; at least one of them must be above 0")
    return weights


# --- by name ------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Recipe:
    """How a representation is made of a study's parts.

    Attributes:
        make: ``make(study)``, or ``make(study, weights)``, gives a matrix [n_items, d] or a `Representation`.
    """

    name: str
    make: Callable

    @property
    def weighs(self) -> bool:
        """Whether its parts have weights."""
        return "weights" in inspect.signature(self.make).parameters

    def of(self, study: Mapping[str, np.ndarray], weights: Sequence[float] | None = None) -> Representation:
        """The representation of a study.

        Raises:
            InputError: weights, where it has none; or not a finite matrix.
        """
        if weights is not None and not self.weighs:
            names = ", ".join(name for name in REPRESENTATIONS if REPRESENTATIONS[name].weighs)
            raise InputError(f"representation {self.name!r} has no weights; these have: {names}")
        made = self.make(study) if weights is None else self.make(study, weights=weights)
        return made if isinstance(made, Representation) else Representation(self.name, (np.asarray(made),))


REPRESENTATIONS: Registry[Recipe] = Registry("representation")


def representation(name: str):
    """Register a function as the representation ``name``.

    The function takes a study and gives a matrix of floats [n_items, d], compared by cosine, or a `Representation`.
    A second argument ``weights`` makes it one whose parts can be weighed.

    Example:
        >>> import numpy as np
        >>> import rallrec as rr
        >>> @rr.representation("text and graph")
        ... def text_and_graph(study):
        ...     return np.hstack([study["text"], study["colla"]])
    """

    def register(make: Callable) -> Callable:
        REPRESENTATIONS.add(name, Recipe(name, make))
        return make

    return register


for _part in ("title", "description", "text", "colla", "ssl"):
    representation(_part)(lambda study, _part=_part: study[_part])


@representation("concatenation")
def _concatenation(study, weights=None):
    return mix(study["text"], study["colla"], weights=weights)


@representation("mixture")
def _mixture(study, weights=None):
    return mix(study["text"], study["colla"], study["ssl"], weights=weights)


@representation("hybrid")
def _hybrid(study):
    return Representation("hybrid", (study["text"], study["colla"]), "halves")


@representation("mixture, description")
def _mixture_description(study):
    return mix(study["description"], study["colla"], study["ssl of the description"])


@representation("mixture, title")
def _mixture_title(study):
    return mix(study["title"], study["colla"], study["ssl of the title"])


@representation("mixture, two-sided")
def _mixture_two_sided(study):
    return mix(study["text"], study["colla"], study["ssl, two-sided"])


@representation("mixture, principal components")
def _mixture_principal_components(study):
    return weighed([study["reduced text"], study["colla"], study["ssl"]], scale=scaled)


@representation("mix2")
def _mix2(study):
    return Representation("mix2", (study["description"], study["colla"]), "softmax")


@representation("mix3")
def _mix3(study, weights=None):
    return weighed([study["reduced description"], study["colla"], study["ssl of the description"]], weights, scaled)


def represent(kind: str, title: np.ndarray, description: np.ndarray, colla: np.ndarray, ssl: np.ndarray):
    """A `Representation` by its name, of parts at hand.

    Args:
        kind: ``title``, ``description``, ``text``, ``colla``, ``ssl``, ``concatenation``, ``mixture``, ``hybrid``,
            ``mix2``.
        ssl: the aligned embeddings of the text.
    """
    parts = dict(title=title, description=description, text=text(title, description), colla=colla, ssl=ssl)
    return REPRESENTATIONS[kind].of(parts)
