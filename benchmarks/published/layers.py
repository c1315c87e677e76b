"""Models that cross fields layer by layer: cross networks, masks and gates, attention, mixers."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn

from benchmarks.published.parts import FIELDS, FLAT, WIDTH, Attention, Block, Fields, head, pairs, weights
from benchmarks.rulers.models import mlp


class Residual(Fields):
    """DeepCrossing's residual units; with GELU and a norm before each."""

    def __init__(self, gelu: bool) -> None:
        super().__init__()
        self.gelu = gelu
        self.norms = nn.ModuleList(nn.LayerNorm(FLAT) for _ in range(3))
        self.wide = nn.ModuleList(nn.Linear(FLAT, 256) for _ in range(3))
        self.narrow = nn.ModuleList(nn.Linear(256, FLAT) for _ in range(3))
        self.last = nn.Linear(FLAT, 1)

    def logit(self, vectors: Tensor) -> Tensor:
        rows = vectors.flatten(1)
        for norm, wide, narrow in zip(self.norms, self.wide, self.narrow, strict=True):
            if self.gelu:
                rows = rows + narrow(nn.functional.gelu(wide(norm(rows))))
            else:
                rows = torch.relu(rows + narrow(torch.relu(wide(rows))))
        return self.last(rows)


class Crosses(Fields):
    """DCNv2, GDCN with gates, DCNv3 with masks, xDeepInt."""

    def __init__(self, kind: str, depth: int = 3) -> None:
        super().__init__()
        self.kind = kind
        outputs = FLAT // 2 if kind == "masked" else FLAT
        self.layers = nn.ModuleList(nn.Linear(FLAT, outputs) for _ in range(depth))
        self.gates = nn.ModuleList(nn.Linear(FLAT, FLAT, bias=False) for _ in range(depth))
        self.norms = nn.ModuleList(nn.LayerNorm(outputs) for _ in range(depth))
        self.last = nn.Linear(FLAT, 1)

    def logit(self, vectors: Tensor) -> Tensor:
        first = vectors.flatten(1)
        rows = first
        for layer, gate, norm in zip(self.layers, self.gates, self.norms, strict=True):
            made = layer(rows)
            if self.kind == "gated":
                rows = first * made * torch.sigmoid(gate(rows)) + rows
            elif self.kind == "masked":
                rows = first * torch.cat([made, torch.relu(norm(made))], 1) + rows
            elif self.kind == "polynomial":
                rows = rows * made + rows
            else:
                rows = first * made + rows
        return self.last(rows)


class DCNMix(Fields):
    """Low-rank crosses of four experts with gates."""

    def __init__(self, rank: int = 32, experts: int = 4) -> None:
        super().__init__()
        self.down = nn.ParameterList(weights(experts, FLAT, rank) for _ in range(3))
        self.middle = nn.ParameterList(weights(experts, rank, rank) for _ in range(3))
        self.up = nn.ParameterList(weights(experts, rank, FLAT) for _ in range(3))
        self.bias = nn.ParameterList(nn.Parameter(torch.randn(FLAT) * 0.1) for _ in range(3))
        self.gates = nn.ModuleList(nn.Linear(FLAT, 1, bias=False) for _ in range(experts))
        self.last = nn.Linear(FLAT, 1)

    def logit(self, vectors: Tensor) -> Tensor:
        first = vectors.flatten(1)
        rows = first
        for down, middle, up, bias in zip(self.down, self.middle, self.up, self.bias, strict=True):
            made = []
            for i in range(len(down)):
                hidden = torch.tanh(torch.tanh(rows @ down[i]) @ middle[i])
                made.append(first * (hidden @ up[i] + bias))
            shares = torch.cat([gate(rows) for gate in self.gates], dim=1).softmax(1)
            rows = (torch.stack(made, dim=2) @ shares[:, :, None]).squeeze(2) + rows
        return self.last(rows)


class EDCN(Fields):
    """A cross and a deep network that exchange rows through a product after each layer."""

    def __init__(self) -> None:
        super().__init__()
        self.crosses, self.deep = (nn.ModuleList(nn.Linear(FLAT, FLAT) for _ in range(3)) for _ in range(2))
        self.gates = nn.ModuleList(nn.Linear(FLAT, FIELDS) for _ in range(6))
        self.last = nn.Linear(3 * FLAT, 1)

    def logit(self, vectors: Tensor) -> Tensor:
        first = vectors.flatten(1)
        left = right = first
        for i in range(3):
            crossed = first * self.crosses[i](left) + left
            deep = torch.relu(self.deep[i](right))
            both = crossed * deep
            gates = [self.gates[2 * i + side](both).softmax(1)[:, :, None] for side in range(2)]
            left, right = ((both.unflatten(1, (FIELDS, WIDTH)) * gate).flatten(1) * FIELDS for gate in gates)
        return self.last(torch.cat([crossed, deep, both], dim=1))


class CIN(Fields):
    """xDeepFM's compressed products of vectors, by convolutions of width 1."""

    def __init__(self) -> None:
        super().__init__()
        sizes = (FIELDS, 32, 32)
        self.layers = nn.ModuleList(nn.Conv1d(FIELDS * size, 32, 1) for size in sizes[:2])
        self.last = nn.Linear(64, 1)

    def logit(self, vectors: Tensor) -> Tensor:
        rows, found = vectors, []
        for layer in self.layers:
            rows = torch.relu(layer(torch.einsum("bfd,bgd->bfgd", vectors, rows).flatten(1, 2)))
            found.append(rows.sum(-1))
        return self.last(torch.cat(found, dim=1))


class Wukong(Fields):
    """Layers of factorisation machines beside linear compressions, with norms."""

    def __init__(self) -> None:
        super().__init__()
        self.compress = nn.ParameterList(weights(FIELDS, 8) for _ in range(2))
        self.linear = nn.ParameterList(weights(FIELDS, 8) for _ in range(2))
        self.skip = nn.Parameter(torch.randn(FIELDS, FIELDS) / 5)
        self.deep = nn.ModuleList(
            nn.Sequential(*mlp(FIELDS * 8, (128,)), nn.Linear(128, 18 * WIDTH)) for _ in range(2)
        )
        self.norms = nn.ModuleList(nn.LayerNorm(WIDTH) for _ in range(2))
        self.last = head(FLAT, 64)

    def logit(self, vectors: Tensor) -> Tensor:
        for compress, linear, deep, norm in zip(
            self.compress, self.linear, self.deep, self.norms, strict=True
        ):
            fm = vectors @ (vectors.transpose(1, 2) @ compress)
            made = deep(fm.flatten(1)).unflatten(1, (18, WIDTH))
            squeezed = linear.T @ vectors
            vectors = norm(torch.cat([made, squeezed], dim=1) + self.skip @ vectors)
        return self.last(vectors.flatten(1))


class FinalMLP(Fields):
    """Two MLPs over gated vectors, joined by a bilinear form of several heads."""

    def __init__(self) -> None:
        super().__init__()
        self.gates = nn.ModuleList(
            nn.Sequential(*mlp(WIDTH * 4, (64,)), nn.Linear(64, FLAT), nn.Sigmoid()) for _ in range(2)
        )
        self.left, self.right = (mlp(FLAT, (256, 128)) for _ in range(2))
        self.ends = nn.ModuleList(nn.Linear(128, 1) for _ in range(2))
        self.matrices = weights(4, 32, 32)

    def logit(self, vectors: Tensor) -> Tensor:
        rows = vectors.flatten(1)
        left = self.left(rows * self.gates[0](vectors[:, :4].flatten(1)) * 2)
        right = self.right(rows * self.gates[1](vectors[:, -4:].flatten(1)) * 2)
        heads = left.reshape(-1, 4, 1, 32) @ self.matrices @ right.reshape(-1, 4, 32, 1)
        return self.ends[0](left) + self.ends[1](right) + heads.sum((1, 2))


class MaskNet(Fields):
    """Masks of all fields over normed vectors, blocks side by side."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(WIDTH)
        self.masks = nn.ModuleList(nn.Sequential(*mlp(FLAT, (128,)), nn.Linear(128, FLAT)) for _ in range(3))
        self.layers = nn.ModuleList(
            nn.Sequential(nn.Linear(FLAT, 64), nn.LayerNorm(64), nn.ReLU()) for _ in range(3)
        )
        self.last = head(3 * 64, 64)

    def logit(self, vectors: Tensor) -> Tensor:
        rows, normed = vectors.flatten(1), self.norm(vectors).flatten(1)
        made = [layer(mask(rows) * normed) for mask, layer in zip(self.masks, self.layers, strict=True)]
        return self.last(torch.cat(made, dim=1))


class AutoInt(Fields):
    """Attention over fields with a product beside it; DESTINE takes means from queries and keys."""

    def __init__(self, apart: bool = False) -> None:
        super().__init__()
        self.apart = apart
        self.layers = nn.ModuleList(Attention(WIDTH) for _ in range(3))
        self.beside = nn.ModuleList(nn.Linear(WIDTH, WIDTH, bias=False) for _ in range(3))
        self.single = nn.ModuleList(nn.Linear(WIDTH, 1) for _ in range(3))
        self.last = nn.Linear(FLAT, 1)

    def logit(self, vectors: Tensor) -> Tensor:
        for layer, beside, single in zip(self.layers, self.beside, self.single, strict=True):
            if self.apart:
                query, key = (
                    part - part.mean(1, keepdim=True) for part in (layer.query(vectors), layer.key(vectors))
                )
                shares = (query @ key.transpose(1, 2)).softmax(-1) + single(vectors).softmax(1).transpose(
                    1, 2
                )
                made = shares @ layer.value(vectors)
            else:
                made = layer(vectors, vectors)
            vectors = torch.relu(made + beside(vectors))
        return self.last(vectors.flatten(1))


class Transformer(Fields):
    """Transformer layers over fields; HiFormer with a matrix for each field."""

    def __init__(self, own: bool = False) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(Block() for _ in range(2))
        self.matrices = weights(3, FIELDS, WIDTH, WIDTH)
        self.own, self.last = own, nn.Linear(FLAT, 1)

    def logit(self, vectors: Tensor) -> Tensor:
        if self.own:
            query, key, value = (torch.einsum("bfd,fde->bfe", vectors, part) for part in self.matrices)
            vectors = vectors + (query @ key.transpose(1, 2) / 4).softmax(-1) @ value
        for block in self.blocks:
            vectors = block(vectors)
        return self.last(vectors.flatten(1))


class InterHAt(Fields):
    """A transformer's layer, then orders of products, each pooled by attention."""

    def __init__(self) -> None:
        super().__init__()
        self.block = Block()
        self.pools = nn.ModuleList(
            nn.Sequential(nn.Linear(WIDTH, 32), nn.Tanh(), nn.Linear(32, 1)) for _ in range(4)
        )
        self.last = nn.Linear(WIDTH, 1)

    def logit(self, vectors: Tensor) -> Tensor:
        vectors = self.block(vectors)
        rows, found = vectors, []
        for pool in self.pools:
            pooled = (pool(rows).softmax(1) * rows).sum(1)
            found.append(pooled)
            rows = rows + pooled[:, None] * vectors
        stacked = torch.stack(found, dim=1)
        return self.last((self.pools[0](stacked).softmax(1) * stacked).sum(1))


class FiGNN(Fields):
    """Fields as a graph's nodes: edges by attention, states by a gated unit."""

    def __init__(self) -> None:
        super().__init__()
        self.edge = nn.Linear(2 * WIDTH, 1)
        self.into, self.out = weights(FIELDS, WIDTH, WIDTH), weights(FIELDS, WIDTH, WIDTH)
        self.unit = nn.GRUCell(WIDTH, WIDTH)
        self.share, self.last = nn.Sequential(nn.Linear(FLAT, FIELDS), nn.Sigmoid()), nn.Linear(WIDTH, 1)
        self.first, self.second = torch.cartesian_prod(torch.arange(FIELDS), torch.arange(FIELDS)).T

    def logit(self, vectors: Tensor) -> Tensor:
        both = torch.cat([vectors[:, self.first], vectors[:, self.second]], dim=-1)
        edges = nn.functional.leaky_relu(self.edge(both)).reshape(-1, FIELDS, FIELDS)
        graph = edges.masked_fill(torch.eye(FIELDS, dtype=torch.bool), float("-inf")).softmax(-1)
        states = vectors
        for _ in range(2):
            sent = (self.out @ states.unsqueeze(3)).squeeze(3)
            taken = (self.into @ (graph @ sent).unsqueeze(3)).squeeze(3)
            states = self.unit(taken.reshape(-1, WIDTH), states.reshape(-1, WIDTH))
            states = states.reshape(-1, FIELDS, WIDTH) + vectors
        return (self.last(states).squeeze(2) * self.share(states.flatten(1))).sum(1, keepdim=True)


class RankMixer(Fields):
    """Tokens that exchange heads by a transpose, and a network of its own for each."""

    def __init__(self, tokens: int = 8, width: int = 64) -> None:
        super().__init__()
        self.tokens, self.width = tokens, width
        self.first = nn.Linear(FLAT, tokens * width)
        self.wide = nn.ParameterList(weights(tokens, width, 2 * width) for _ in range(2))
        self.narrow = nn.ParameterList(weights(tokens, 2 * width, width) for _ in range(2))
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(4))
        self.last = nn.Linear(width, 1)

    def logit(self, vectors: Tensor) -> Tensor:
        rows = self.first(vectors.flatten(1)).reshape(-1, self.tokens, self.width)
        for i, (wide, narrow) in enumerate(zip(self.wide, self.narrow, strict=True)):
            heads = rows.reshape(-1, self.tokens, self.tokens, self.width // self.tokens)
            mixed = heads.transpose(1, 2).reshape(-1, self.tokens, self.width)
            rows = self.norms[2 * i](rows + mixed)
            hidden = nn.functional.gelu(torch.einsum("btd,tdh->bth", rows, wide))
            rows = self.norms[2 * i + 1](rows + torch.einsum("bth,thd->btd", hidden, narrow))
        return self.last(rows.mean(1))


class CL4CTR(Fields):
    """What is served of it: a factorisation machine beside an MLP with norms of batches."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = pairs()
        sizes = (FLAT, 256, 128)
        layers = [
            part
            for size, to in itertools.pairwise(sizes)
            for part in (nn.Linear(size, to), nn.BatchNorm1d(to), nn.ReLU(), nn.Dropout(0.1))
        ]
        self.deep = nn.Sequential(*layers, nn.Linear(128, 1))

    def logit(self, vectors: Tensor) -> Tensor:
        fm = (vectors[:, self.first] * vectors[:, self.second]).sum((1, 2)).unsqueeze(1)
        return 0.05 * fm + self.deep(vectors.flatten(1))


MODELS = {
    "DeepCrossing": lambda: Residual(gelu=False),
    "Residual layers with GELU": lambda: Residual(gelu=True),
    "DCNv2": lambda: Crosses("plain"),
    "GDCN": lambda: Crosses("gated"),
    "DCNv3": lambda: Crosses("masked"),
    "xDeepInt": lambda: Crosses("polynomial"),
    "DCN-Mix": DCNMix,
    "EDCN": EDCN,
    "xDeepFM": CIN,
    "Wukong": Wukong,
    "FinalMLP": FinalMLP,
    "MaskNet": MaskNet,
    "AutoInt": AutoInt,
    "DESTINE": lambda: AutoInt(apart=True),
    "Transformer over fields": Transformer,
    "HiFormer": lambda: Transformer(own=True),
    "InterHAt": InterHAt,
    "FiGNN": FiGNN,
    "RankMixer": RankMixer,
    "CL4CTR": CL4CTR,
}
