"""The networks of the conventional recommenders: torch-rechub's, and xDeepFM of that library's layers.

xDeepFM (Lian et al. 2018) is DeepFM with a compressed interaction network (CIN) in the place of the factorization
machine: products of whole embeddings, mixed by a few feature maps a layer, which reach the third order here.
"""

import torch
from torch_rechub.basic.features import SequenceFeature, SparseFeature
from torch_rechub.basic.initializers import RandomNormal
from torch_rechub.basic.layers import CIN, LR, MLP, EmbeddingLayer
from torch_rechub.models.ranking import DCN, DIN, AutoInt, DCNv2, DeepFM

MAPS = [16, 16]  # feature maps of CIN's layers


class XDeepFM(torch.nn.Module):
    """P(like) as the sigmoid of a linear, a CIN's and an MLP's score of the same embeddings, float [n]."""

    def __init__(self, features: list, maps: list[int], mlp_params: dict):
        super().__init__()
        self.features, n = features, sum(f.embed_dim for f in features)
        self.embedding = EmbeddingLayer(features)
        self.linear, self.cin, self.mlp = LR(n), CIN(len(features), maps), MLP(n, **mlp_params)

    def forward(self, x: dict[str, torch.Tensor]) -> torch.Tensor:
        fields = self.embedding(x, self.features)  # [n, fields, dimensions]
        flat = fields.flatten(start_dim=1)
        return torch.sigmoid((self.linear(flat) + self.cin(fields) + self.mlp(flat)).squeeze(1))


def network(name: str, sizes: dict[str, int], d: int, layers: tuple[int, ...], dropout: float) -> torch.nn.Module:
    """A network over a sample's fields.

    Args:
        name: one of `conventional.MODELS`. sizes: how many values each field has, see `fields.fields`.
        d: dimensions of a field's embedding. layers: of the MLP that each network has.
    """
    first = dict(initializer=RandomNormal(0, 0.01))
    bags = [n for n in sizes if n.endswith("liked items")]
    plain = [SparseFeature(n, size, d, **first) for n, size in sizes.items() if n not in bags]
    item = next(f for f in plain if f.name == "item")
    shared = dict(embed_dim=d, shared_with="item", padding_idx=0)
    means = [SequenceFeature(n, sizes[n], pooling="mean", **shared) for n in bags]
    mlp = dict(dims=list(layers), dropout=dropout)
    match name:
        case "DeepFM":
            return DeepFM(plain + means, plain + means, mlp)
        case "xDeepFM":
            return XDeepFM(plain + means, MAPS, mlp)
        case "DCN":
            return DCN(plain + means, n_cross_layers=2, mlp_params=mlp)
        case "DCNv2":
            return DCNv2(plain + means, n_cross_layers=2, mlp_params=mlp)
        case "AutoInt":
            return AutoInt(plain + means, [], num_layers=2, num_heads=2, dropout=dropout, mlp_params=mlp)
        case "DIN":
            attended = [SequenceFeature(n, sizes[n], pooling="concat", **shared) for n in bags]
            targets = [item, SparseFeature("item again", sizes["item"], d, shared_with="item")]  # one for each bag
            others = [f for f in plain if f.name != "item"]
            return DIN(others, attended, targets, mlp, dict(dims=[32], use_softmax=False))
