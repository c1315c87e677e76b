"""What the published models share: fields of ids, a history, common layers."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from benchmarks.rulers.models import OneTable, mlp

FIELDS, OWN, WIDTH = 26, 16, 16
"""Fields, those of them that the request has, and numbers in an embedding."""
FLAT = FIELDS * WIDTH
VOCABULARY = 1000
HISTORY = 50
"""Items in a request's history; id 0 pads it."""


def head(inputs: int, *hidden: int) -> nn.Sequential:
    """An MLP that ends in one number."""
    return nn.Sequential(*mlp(inputs, hidden), nn.Linear((inputs, *hidden)[-1], 1))


def weights(*shape: int) -> nn.Parameter:
    """Weights of which a product with numbers of size 1 has about that size."""
    return nn.Parameter(torch.randn(shape) / shape[-2 if len(shape) > 1 else -1] ** 0.5)


def pairs(fields: int = FIELDS) -> tuple[Tensor, Tensor]:
    """The first and second fields of all pairs."""
    first, second = torch.triu_indices(fields, fields, 1)
    return first, second


class Fields(nn.Module):
    """A model of fields: `logit` gets one vector for each."""

    def __init__(self) -> None:
        super().__init__()
        self.user = OneTable((VOCABULARY,) * OWN, WIDTH)
        self.item = OneTable((VOCABULARY,) * (FIELDS - OWN), WIDTH)

    def forward(self, user: Tensor, item: Tensor) -> Tensor:
        vectors = torch.cat([self.user(user), self.item(item)], dim=1)
        return torch.sigmoid(self.logit(vectors)).squeeze(1)

    def logit(self, vectors: Tensor) -> Tensor:
        """``[B, 1]`` from ``[B, F, D]``."""
        raise NotImplementedError


class Sequence(nn.Module):
    """A model of a history: `logit` gets the fields' numbers and vectors of the target and the history."""

    def __init__(self) -> None:
        super().__init__()
        self.user = OneTable((VOCABULARY,) * OWN, WIDTH)
        self.item = OneTable((VOCABULARY,) * (FIELDS - OWN - 1), WIDTH)
        self.items = nn.Embedding(VOCABULARY, WIDTH)

    def forward(self, user: Tensor, item: Tensor, history: Tensor) -> Tensor:
        fields = torch.cat([self.user(user), self.item(item[:, 1:])], dim=1).flatten(1)
        made = self.logit(fields, self.items(item[:, 0]), self.items(history), history != 0)
        return torch.sigmoid(made).squeeze(1)

    def logit(self, fields: Tensor, target: Tensor, history: Tensor, valid: Tensor) -> Tensor:
        """``[B, 1]`` from ``[B, (F - 1) D]``, ``[B, D]``, ``[B, L, D]`` and ``[B, L]``."""
        raise NotImplementedError


class Attention(nn.Module):
    """Attention of several heads, from one product for each of query, key and value."""

    def __init__(self, width: int = WIDTH, heads: int = 2) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value = (nn.Linear(width, width, bias=False) for _ in range(3))

    def forward(self, queries: Tensor, rows: Tensor, mask: Tensor | None = None) -> Tensor:
        query, key, value = self.query(queries), self.key(rows), self.value(rows)
        query, key, value = (
            part.reshape(part.shape[0], part.shape[1], self.heads, -1).transpose(1, 2)
            for part in (query, key, value)
        )
        logits = query @ key.transpose(2, 3) / query.shape[-1] ** 0.5
        if mask is not None:
            logits = logits.masked_fill(~mask, -1e9)
        return (logits.softmax(-1) @ value).transpose(1, 2).flatten(2)


class Block(nn.Module):
    """A transformer's layer with the norm after each sum."""

    def __init__(self, width: int = WIDTH, heads: int = 2) -> None:
        super().__init__()
        self.attention = Attention(width, heads)
        self.wide, self.narrow = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2))

    def forward(self, rows: Tensor, mask: Tensor | None = None) -> Tensor:
        rows = self.norms[0](rows + self.attention(rows, rows, mask))
        made: Tensor = self.norms[1](rows + self.narrow(torch.relu(self.wide(rows))))
        return made


class TargetAttention(nn.Module):
    """DIN's: an MLP over target, item, difference and product gives each item's weight."""

    def __init__(self, width: int = WIDTH) -> None:
        super().__init__()
        self.weigh = head(4 * width, 64, 16)

    def forward(self, target: Tensor, history: Tensor, valid: Tensor) -> Tensor:
        query = target[:, None].expand_as(history)
        logits = self.weigh(torch.cat([query, history, query - history, query * history], dim=-1))
        made = logits.squeeze(-1).masked_fill(~valid, -1e9).softmax(-1)
        return (made[:, None] @ history).squeeze(1)


def mean(history: Tensor, valid: Tensor) -> Tensor:
    """The mean of the valid items."""
    kept = valid[..., None].float()
    return (history * kept).sum(1) / kept.sum(1).clamp(min=1)
