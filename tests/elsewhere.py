"""A second device, for tests on a machine with one: what is sent to "meta" keeps its values, out of the CPU's reach.

Within `Elsewhere` a tensor on "meta" is one of the CPU under another name. What a GPU would not do raises here,
too: an operation on tensors of two devices, or a look at a value without fetching it. And so does a draw there,
which a GPU would make with a generator of its own.
"""

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

COPIES = ("_to_copy", "copy_", "index", "index_put_", "_index_put_impl_")  # a GPU takes indices from the CPU
DRAWS = ("bernoulli", "normal", "uniform", "rand", "dropout", "multinomial", "random")


class _There(torch.Tensor):
    @staticmethod
    def __new__(cls, here: torch.Tensor):
        strides = here.stride() if here.layout == torch.strided else None
        made = torch.Tensor._make_wrapper_subclass(
            cls, here.shape, strides, dtype=here.dtype, device="meta", requires_grad=here.requires_grad
        )
        made.here = here
        return made

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        raise AssertionError(f"{func} outside of the test's device")


class Elsewhere(TorchDispatchMode):
    """Within the block there is a device "meta" that computes. ``calls``: what was done there, how often."""

    def __init__(self):
        super().__init__()
        self.calls: dict[str, int] = {}

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs, name = dict(kwargs or {}), func.overloadpacket.__name__
        tensors = [x for x in tree_leaves((args, kwargs)) if isinstance(x, torch.Tensor)]
        there = any(isinstance(x, _There) for x in tensors)
        if there and name not in COPIES:
            here = [x for x in tensors if not isinstance(x, _There) and x.dim()]
            assert not here, f"{func} of tensors on two devices"
        goal = kwargs.get("device")
        to = (there if goal is None else torch.device(goal).type == "meta") if name != "_local_scalar_dense" else False
        if to:
            assert not any(draw in name for draw in DRAWS), f"{func} draws on the device"
            self.calls[name] = self.calls.get(name, 0) + 1
            if goal is not None:
                kwargs["device"] = "cpu"
        inner = [x.here if isinstance(x, _There) else x for x in tensors]
        out = func(*tree_map(_here, args), **tree_map(_here, kwargs))

        def back(x):
            if not isinstance(x, torch.Tensor):
                return x
            for outer, own in zip(tensors, inner, strict=True):  # changed in place
                if x is own:
                    return outer
            return _There(x) if to else x

        return tree_map(back, out)


def _here(x):
    return x.here if isinstance(x, _There) else x
