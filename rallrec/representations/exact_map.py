"""What the alignment would reach if texts told all: a reference for its held-out loss."""

import numpy as np
import torch

from .alignment import AlignmentSettings, alignment_loss


def exact_loss(colla: np.ndarray, warm: np.ndarray, settings: AlignmentSettings) -> float:
    """The held-out loss of `train_alignment`, nats, if each text were mapped on its own collaborative embedding.

    A reference for the loss of a training. No bound: without a temperature the loss rewards a map that sets an item
    further apart from the others than its collaborative embedding is.

    Args:
        colla: [n_items, d]. warm: bool [n_items], as for `train_alignment`, whose held-out items these are.
    """
    rows = np.random.default_rng(settings.seed).permutation(np.flatnonzero(warm))
    held_out = max(2, int(len(rows) * settings.held_out))
    some = torch.as_tensor(colla[rows[: max(held_out, settings.batch)]], dtype=torch.float32)
    some = torch.nn.functional.normalize(some, dim=1)
    return alignment_loss(some, some, settings.temperature, np.arange(held_out)).item()
