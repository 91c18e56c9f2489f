"""torch-rechub's layers, the same but for rounding, by fewer passes over memory.

The networks of the conventional recommenders and their weights stay the library's; `faster` gives their layers another
way to the same numbers. A step of 2,048 samples is small: most of its time goes into operations that torch is slow at
(softmax over a dozen fields, products of thousands of tiny matrices, a convolution of width one, random draws) and into
what is computed twice, or of padding.
"""

from types import MethodType

import torch
import torch.nn.functional as F
from torch_rechub.basic.activation import Dice
from torch_rechub.basic.features import SequenceFeature
from torch_rechub.basic.layers import CIN, CrossNetMix, EmbeddingLayer, InteractingLayer
from torch_rechub.models.ranking import DIN, DeepFM
from torch_rechub.models.ranking.din import ActivationUnit

from ..infra.products import linear, with_onednn
from ..infra.reproducible import Dropout

COLUMNS = 2048  # of the products of fields, which a processor keeps at hand


def faster(model: torch.nn.Module) -> torch.nn.Module:
    """The same model, in place, with the layers below."""
    for module in model.modules():
        if forward := _FORWARDS.get(type(module)):
            module.forward = MethodType(forward, module)
    return with_onednn(model)


# --- embeddings ----------------------------------------------------------------------------------


def _tables(layer: EmbeddingLayer) -> tuple[torch.Tensor, dict[str, int]]:
    """All tables of a layer below each other, [n, d], and where each begins."""
    begins, n = {}, 0
    for name, table in layer.embed_dict.items():
        begins[name] = n
        n += table.num_embeddings
    return torch.cat([table.weight for table in layer.embed_dict.values()]), begins


def embedded(layer: EmbeddingLayer, x: dict[str, torch.Tensor], features: list, squeeze_dim: bool = False):
    """Embeddings of fields and means of bags, [n, fields, d] or flat: of all fields at once, of all bags at once."""
    tables, begins = _tables(layer)
    plain = [f for f in features if not isinstance(f, SequenceFeature)]
    bags = features[len(plain) :]  # `networks` puts them last
    at = torch.stack([x[f.name] + begins[f.shared_with or f.name] for f in plain], 1)
    parts = [F.embedding(at, tables)]
    if bags:
        items = torch.stack([x[f.name] for f in bags], 1)  # [n, bags, history], 0 is padding
        real = items > 0
        kept = (items + begins[bags[0].shared_with])[real]
        counts = real.sum(2).flatten()
        ends = counts.cumsum(0)
        means = F.embedding_bag(kept, tables, ends - counts, mode="mean")
        parts.append(means.unflatten(0, real.shape[:2]))
    out = torch.cat(parts, 1)
    return out.flatten(1) if squeeze_dim else out


def dropped(layer: Dropout, x: torch.Tensor) -> torch.Tensor:
    """Of 16 random bits a number, drawn on the CPU; torch draws 32 for each."""
    if not layer.training or not layer.p:
        return x
    if layer.p == 1:
        return x * 0
    least = min(round(layer.p * 2**16), 2**16 - 1)
    bits = torch.empty(-(-x.numel() // 4), dtype=torch.int64).random_(-(2**63), None).view(torch.int16)
    kept = (bits[: x.numel()].view(x.shape) >= least - 2**15).to(x.dtype)
    return x * kept.div_(1 - least / 2**16).to(x.device)


def deepfm(model: DeepFM, x: dict[str, torch.Tensor]) -> torch.Tensor:
    """Both parts read the same embeddings."""
    fields = model.embedding(x, model.fm_features)
    flat = fields.flatten(1)
    return torch.sigmoid((model.linear(flat) + model.fm(fields) + model.mlp(flat)).squeeze(1))


# --- Dice and the attention of DIN ---------------------------------------------------------------


class _Dice(torch.autograd.Function):
    """``y (alpha + (1 - alpha) s)`` with s the sigmoid of y, centred and scaled over its neurons."""

    @staticmethod
    def forward(ctx, y: torch.Tensor, alpha: torch.Tensor, epsilon: float) -> torch.Tensor:
        d = y - y.mean(1, keepdim=True)
        scale = d.square().sum(1, keepdim=True).add_(epsilon * y.shape[1]).rsqrt_()
        s = d.mul_(scale).sigmoid()  # d is the sigmoid's argument now
        ctx.save_for_backward(y, alpha, d, scale, s)
        return torch.lerp(alpha, torch.ones_like(alpha), s).mul_(y)

    @staticmethod
    def backward(ctx, g: torch.Tensor):
        y, alpha, p, scale, s = ctx.saved_tensors
        gy = g * y
        of_alpha = gy.sum() - torch.dot(gy.flatten(), s.flatten())
        of_p = gy.mul_(1 - alpha).mul_(s).mul_(1 - s)
        # p = d / sqrt(sum of d^2 + ...), d = y - mean of y
        of_d = of_p.sub_(p * (of_p * p).sum(1, keepdim=True)).mul_(scale)
        of_d -= of_d.mean(1, keepdim=True)
        return torch.lerp(alpha, torch.ones_like(alpha), s).mul_(g).add_(of_d), of_alpha.reshape(1), None


def dice(layer: Dice, y: torch.Tensor) -> torch.Tensor:
    """The activation of DIN's layers, [n, neurons]."""
    return _Dice.apply(y, layer.alpha, layer.epsilon)


class _Standardised(torch.autograd.Function):
    """Rows centred and scaled by their weighted means and variances, [n, d]; and these."""

    @staticmethod
    def forward(ctx, z: torch.Tensor, weight: torch.Tensor, epsilon: float):
        n = weight.sum()
        mean = weight @ z / n
        out = z - mean
        variance = weight @ out.square() / n
        scale = (variance + epsilon).rsqrt()
        out *= scale
        ctx.save_for_backward(out, weight, scale, n)
        ctx.mark_non_differentiable(mean, variance)
        return out, mean, variance

    @staticmethod
    def backward(ctx, g: torch.Tensor, *_):
        out, weight, scale, n = ctx.saved_tensors
        # the statistics weigh each row, and change with all
        shift, slope = g.sum(0) / n, (g * out).sum(0) / n
        return (g - weight[:, None] * (out * slope + shift)).mul_(scale), None, None


def _normalised(norm: torch.nn.BatchNorm1d, z: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Batch normalisation where row i counts ``weight[i]`` times."""
    if not norm.training:
        return norm(z)
    out, mean, variance = _Standardised.apply(z, weight, norm.eps)
    n = weight.sum()
    with torch.no_grad():
        norm.num_batches_tracked += 1
        norm.running_mean.lerp_(mean, norm.momentum)
        norm.running_var.lerp_(variance * n / (n - 1), norm.momentum)
    return out * norm.weight + norm.bias


def attention(unit: ActivationUnit, items: torch.Tensor, table: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """The sum of a history's embeddings, weighed by an MLP of each and the target, [n, d].

    All padding of a sample is one row that counts as often as there is padding.

    Args:
        items: [n, history], rows of ``table``; 0 is padding. table: [n_items, d]. target: [n, d].
    """
    first, norm, activation, _, last = unit.attention.mlp
    real = torch.cat([items > 0, torch.ones_like(items[:, :1], dtype=torch.bool)], 1)  # the last is the padding's
    kept = F.pad(items, (0, 1))[real]
    counts = real.sum(1)
    ends = counts.cumsum(0)
    of = torch.repeat_interleave(torch.arange(len(items), device=items.device), counts, output_size=len(kept))
    times = table.new_ones(len(kept)).index_copy(0, ends - 1, (items.shape[1] - counts + 1).to(table.dtype))
    history, mine = F.embedding(kept, table), F.embedding(of, target)
    # [target, history, target - history, target * history], multiplied by part
    t, h, minus, product = first.weight.chunk(4, 1)
    z = torch.addmm(F.embedding(of, F.linear(target, t + minus, first.bias)), history, (h - minus).T)
    z = torch.addmm(z, mine * history, product.T)
    weight = last(activation(_normalised(norm, z, times))).squeeze(1)
    return F.embedding_bag(kept, table, ends - counts, mode="sum", per_sample_weights=weight * times)


def din(model: DIN, x: dict[str, torch.Tensor]) -> torch.Tensor:
    """All that is no history is looked up at once; of a sample's padding one row is (see `attention`)."""
    tables, begins = _tables(model.embedding)
    plain = model.embedding(x, model.target_features + model.features)
    pooled = []
    for n, (unit, feature) in enumerate(zip(model.attention_layers, model.history_features, strict=True)):
        first = begins[feature.shared_with]
        items = tables[first : first + model.embedding.embed_dict[feature.shared_with].num_embeddings]
        pooled.append(unit(x[feature.name], items, plain[:, n]))
    return torch.sigmoid(model.mlp(torch.cat([*pooled, plain.flatten(1)], 1)).squeeze(1))


# --- products of fields --------------------------------------------------------------------------


class _Interactions(torch.autograd.Function):
    """``sum of w[o, f g] a[f] b[g]``: a is [f, n], b [g, n], w [o, f g]; [o, n].

    The products of fields, f g times as large as n, are made a block of columns at a time, and again for the gradient.
    """

    @staticmethod
    def forward(ctx, a: torch.Tensor, b: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(a, b, w)
        out = a.new_empty(len(w), a.shape[1])
        for part in _columns(a):
            out[:, part] = w @ (a[:, None, part] * b[:, part]).flatten(0, 1)
        return out

    @staticmethod
    def backward(ctx, g: torch.Tensor):
        a, b, w = ctx.saved_tensors
        of_a, of_b, of_w = torch.empty_like(a), torch.empty_like(b), torch.zeros_like(w)
        for part in _columns(a):
            x, y, gx = a[:, part], b[:, part], g[:, part]
            of_w += gx @ (x[:, None] * y).flatten(0, 1).T
            of_xy = (w.T @ gx).unflatten(0, (len(x), len(y)))
            of_a[:, part] = (of_xy * y).sum(1)
            of_b[:, part] = of_xy.mul_(x[:, None]).sum(0)
        return of_a, of_b, of_w


def _columns(x: torch.Tensor) -> list[slice]:
    n = x.shape[1]
    few = COLUMNS if x.device.type == "cpu" else max(n, 1)
    return [slice(start, start + few) for start in range(0, n, few)]


def compressed(cin: CIN, x: torch.Tensor) -> torch.Tensor:
    """A compressed interaction network's score, [n, 1]: its convolutions of width one are products of matrices."""
    n, fields, d = x.shape
    first = h = x.permute(1, 0, 2).reshape(fields, n * d)
    told = []
    for at, layer in enumerate(cin.conv_layers):
        maps = F.relu(_Interactions.apply(first, h, layer.weight[:, :, 0]) + layer.bias[:, None])
        if cin.split_half and at != cin.num_layers - 1:
            maps, h = maps.chunk(2)
        else:
            h = maps
        told.append(maps)
    return cin.fc(torch.cat(told).unflatten(1, (n, d)).sum(2).T)


def crossed(net: CrossNetMix, x: torch.Tensor) -> torch.Tensor:
    """Cross layers of low-rank experts, [n, d]: all experts in one product."""
    first, gates = x, torch.cat([gate.weight for gate in net.gating])
    for u, v, c, bias in zip(net.u_list, net.v_list, net.c_list, net.bias, strict=True):
        share = F.linear(x, gates).softmax(1)  # [n, experts]
        low = torch.tanh(linear(x, v.transpose(1, 2).flatten(0, 1)))  # [n, experts * rank]
        low = torch.tanh(torch.bmm(low.unflatten(1, c.shape[:2]).transpose(0, 1), c.transpose(1, 2)))
        low = low * share.T[:, :, None]  # [experts, n, rank]; the shares sum to 1, so the bias stands once
        mixed = linear(low.transpose(0, 1).flatten(1), u.transpose(0, 1).flatten(1), bias[:, 0])
        x = first * mixed + x
    return x


def interacting(layer: InteractingLayer, x: torch.Tensor) -> torch.Tensor:
    """Self-attention of fields, [n, fields, d]: one product for queries, keys, values and the residual."""
    weights = torch.cat([w.weight for w in (layer.W_Q, layer.W_K, layer.W_V, layer.W_Res)])
    q, k, v, residual = linear(x, weights).chunk(4, 2)
    q, k, v = (part.unflatten(2, (layer.num_heads, -1)).transpose(1, 2).flatten(0, 1) for part in (q, k, v))
    share = _Softmax.apply(torch.bmm(q, k.transpose(1, 2)), layer.scale)
    if layer.dropout is not None:
        share = layer.dropout(share)
    told = torch.bmm(share, v).unflatten(0, (len(x), -1)).transpose(1, 2).flatten(2)
    return F.relu(told + residual)


class _Softmax(torch.autograd.Function):
    """Softmax over a short last axis of ``x * scale``, which torch does a row at a time."""

    @staticmethod
    def forward(ctx, x: torch.Tensor, scale: float) -> torch.Tensor:
        p = (x - x.amax(-1, keepdim=True)).mul_(scale).exp_()
        p /= p.sum(-1, keepdim=True)
        ctx.save_for_backward(p)
        ctx.scale = scale
        return p

    @staticmethod
    def backward(ctx, g: torch.Tensor):
        (p,) = ctx.saved_tensors
        of = g * p
        return of.sub_(p * of.sum(-1, keepdim=True)).mul_(ctx.scale), None


_FORWARDS = {
    EmbeddingLayer: embedded,
    Dropout: dropped,
    DeepFM: deepfm,
    Dice: dice,
    ActivationUnit: attention,
    DIN: din,
    CIN: compressed,
    CrossNetMix: crossed,
    InteractingLayer: interacting,
}
