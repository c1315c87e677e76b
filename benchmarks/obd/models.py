"""DeepFM and Wide & Deep as they are usually written in PyTorch."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from benchmarks.obd.features import CROSS, CROSS_BUCKETS, DENSE, FIELDS


def mlp(inputs: int, hidden: tuple[int, ...], dropout: float) -> nn.Sequential:
    layers: list[nn.Module] = []
    for outputs in hidden:
        layers += [nn.Linear(inputs, outputs), nn.BatchNorm1d(outputs), nn.ReLU(), nn.Dropout(dropout)]
        inputs = outputs
    return nn.Sequential(*layers, nn.Linear(inputs, 1))


class DeepFM(nn.Module):
    """First-order terms, factorisation machine and MLP over shared embeddings."""

    names = (*FIELDS, *DENSE)

    def __init__(self, width: int = 16, hidden: tuple[int, ...] = (128, 64), dropout: float = 0.3) -> None:
        super().__init__()
        self.embeddings = nn.ModuleDict({name: nn.Embedding(size, width) for name, size in FIELDS.items()})
        self.linear = nn.ModuleDict({name: nn.Embedding(size, 1) for name, size in FIELDS.items()})
        self.linear_dense = nn.Linear(len(DENSE), 1)
        self.dense_norm = nn.BatchNorm1d(len(DENSE))
        self.mlp = mlp(len(FIELDS) * width + len(DENSE), hidden, dropout)
        for table in self.embeddings.values():
            nn.init.normal_(table.weight, std=0.05)
        for table in self.linear.values():
            nn.init.zeros_(table.weight)

    def logit(self, *inputs: Tensor) -> Tensor:
        ids = dict(zip(FIELDS, inputs[: len(FIELDS)], strict=True))
        dense = self.dense_norm(torch.cat(inputs[len(FIELDS) :], dim=1))
        vectors = torch.stack([self.embeddings[name](ids[name]) for name in FIELDS], dim=1)
        first = torch.cat([self.linear[name](ids[name]) for name in FIELDS], dim=1).sum(dim=1)
        first = first + self.linear_dense(dense).squeeze(1)
        second = 0.5 * (vectors.sum(dim=1) ** 2 - (vectors**2).sum(dim=1)).sum(dim=1)
        deep = self.mlp(torch.cat([vectors.flatten(1), dense], dim=1)).squeeze(1)
        return first + second + deep

    def forward(self, *inputs: Tensor) -> Tensor:
        return torch.sigmoid(self.logit(*inputs))


class WideDeep(nn.Module):
    """A linear model over ids and one crossed field, beside an MLP over embeddings."""

    names = (*FIELDS, *DENSE, CROSS)

    def __init__(self, width: int = 8, hidden: tuple[int, ...] = (128, 64), dropout: float = 0.3) -> None:
        super().__init__()
        sizes = {**FIELDS, CROSS: CROSS_BUCKETS}
        self.wide = nn.ModuleDict({name: nn.Embedding(size, 1) for name, size in sizes.items()})
        self.embeddings = nn.ModuleDict({name: nn.Embedding(size, width) for name, size in FIELDS.items()})
        self.dense_norm = nn.BatchNorm1d(len(DENSE))
        self.mlp = mlp(len(FIELDS) * width + len(DENSE), hidden, dropout)
        for table in self.embeddings.values():
            nn.init.normal_(table.weight, std=0.05)
        for table in self.wide.values():
            nn.init.zeros_(table.weight)

    def logit(self, *inputs: Tensor) -> Tensor:
        named = dict(zip(self.names, inputs, strict=True))
        dense = self.dense_norm(torch.cat([named[name] for name in DENSE], dim=1))
        wide = torch.cat([table(named[name]) for name, table in self.wide.items()], dim=1)
        embedded = [table(named[name]) for name, table in self.embeddings.items()]
        deep = self.mlp(torch.cat([*embedded, dense], dim=1))
        return (wide.sum(dim=1, keepdim=True) + deep).squeeze(1)

    def forward(self, *inputs: Tensor) -> Tensor:
        return torch.sigmoid(self.logit(*inputs))
