"""Models that rank with a request's history of items."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from benchmarks.published.parts import (
    FIELDS,
    HISTORY,
    WIDTH,
    Attention,
    Block,
    Sequence,
    TargetAttention,
    head,
    weights,
)

REST = (FIELDS - 1) * WIDTH


class Pooled(Sequence):
    """`pool` gives numbers of the target and the history, which an MLP reads beside all fields'."""

    size = WIDTH

    def __init__(self) -> None:
        super().__init__()
        self.deep = head(REST + WIDTH + self.size, 128, 64)

    def logit(self, fields: Tensor, target: Tensor, history: Tensor, valid: Tensor) -> Tensor:
        return self.deep(torch.cat([fields, target, self.pool(target, history, valid)], dim=1))

    def pool(self, target: Tensor, history: Tensor, valid: Tensor) -> Tensor:
        """``[B, size]``."""
        raise NotImplementedError


class DIN(Pooled):
    def __init__(self) -> None:
        super().__init__()
        self.attention = TargetAttention()

    def pool(self, target: Tensor, history: Tensor, valid: Tensor) -> Tensor:
        return self.attention(target, history, valid)


class DIEN(Pooled):
    """Two recurrent layers; the second's last state, weighted by the target."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = (nn.GRU(WIDTH, WIDTH, batch_first=True) for _ in range(2))
        self.weigh = weights(WIDTH, WIDTH)

    def pool(self, target: Tensor, history: Tensor, valid: Tensor) -> Tensor:
        states = self.first(history)[0]
        share = ((states @ self.weigh) * target[:, None]).sum(2).masked_fill(~valid, -1e9).softmax(1)
        return self.second(states * share[:, :, None] * HISTORY)[0][:, -1]


class DSIN(Pooled):
    """Sessions of ten items: a transformer in each, then attention of the target over sessions."""

    def __init__(self) -> None:
        super().__init__()
        self.block, self.attention = Block(), TargetAttention()

    def pool(self, target: Tensor, history: Tensor, valid: Tensor) -> Tensor:
        sessions = self.block(history.reshape(-1, 10, WIDTH)).mean(1).reshape(-1, HISTORY // 10, WIDTH)
        return self.attention(target, sessions, valid[:, ::10])


class BST(Pooled):
    """A transformer over history and target."""

    size = WIDTH * (HISTORY + 1)

    def __init__(self) -> None:
        super().__init__()
        self.block, self.places = Block(), nn.Parameter(torch.randn(HISTORY + 1, WIDTH) * 0.1)

    def pool(self, target: Tensor, history: Tensor, valid: Tensor) -> Tensor:
        rows = torch.cat([history, target[:, None]], dim=1) + self.places
        known = torch.cat([valid, torch.ones_like(valid[:, :1])], dim=1)
        return self.block(rows, known[:, None, None]).flatten(1)


class TransAct(Pooled):
    """The target beside each item through a transformer; the last items' rows and the largest numbers."""

    size = 2 * WIDTH * 11

    def __init__(self) -> None:
        super().__init__()
        self.block = Block(2 * WIDTH)

    def pool(self, target: Tensor, history: Tensor, valid: Tensor) -> Tensor:
        rows = torch.cat([history, target[:, None].expand(-1, HISTORY, -1)], dim=2)
        made = self.block(rows, valid[:, None, None])
        return torch.cat([made[:, :10].flatten(1), made.amax(1)], dim=1)


class OneTrans(Sequence):
    """Tokens of fields and of the history in one causal transformer."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens = nn.Linear(REST + WIDTH, 4 * WIDTH)
        self.blocks = nn.ModuleList(Block() for _ in range(2))
        self.deep = head(4 * WIDTH, 64)

    def logit(self, fields: Tensor, target: Tensor, history: Tensor, valid: Tensor) -> Tensor:
        own = self.tokens(torch.cat([fields, target], dim=1)).reshape(-1, 4, WIDTH)
        rows = torch.cat([history, own], dim=1)
        causal = torch.ones(HISTORY + 4, HISTORY + 4, dtype=torch.bool).tril()
        known = torch.cat([valid, torch.ones_like(valid[:, :4])], dim=1)
        for block in self.blocks:
            rows = block(rows, causal & known[:, None, None])
        return self.deep(rows[:, -4:].flatten(1))


class HSTU(Pooled):
    """Attention with SiLU in place of softmax, gated by the rows themselves; the target is the last."""

    def __init__(self) -> None:
        super().__init__()
        self.into = nn.ModuleList(nn.Linear(WIDTH, 4 * WIDTH) for _ in range(2))
        self.out = nn.ModuleList(nn.Linear(WIDTH, WIDTH) for _ in range(2))
        self.norms = nn.ModuleList(nn.LayerNorm(WIDTH) for _ in range(2))
        self.places = nn.Parameter(torch.randn(HISTORY + 1, HISTORY + 1) * 0.1)

    def pool(self, target: Tensor, history: Tensor, valid: Tensor) -> Tensor:
        rows = torch.cat([history, target[:, None]], dim=1)
        known = torch.cat([valid, torch.ones_like(valid[:, :1])], dim=1)[:, None].float()
        causal = torch.ones(HISTORY + 1, HISTORY + 1).tril()
        for into, out, norm in zip(self.into, self.out, self.norms, strict=True):
            gate, value, query, key = nn.functional.silu(into(rows)).split(WIDTH, dim=2)
            shares = nn.functional.silu(query @ key.transpose(1, 2) + self.places) / HISTORY
            rows = rows + out(norm((shares * causal * known) @ value) * gate)
        return rows[:, -1]


class SIM(Pooled):
    """The ten items nearest to the target, then attention over them."""

    def __init__(self, bits: int = 0) -> None:
        super().__init__()
        self.attention = Attention()
        self.hashes = None if not bits else weights(WIDTH, bits)

    def pool(self, target: Tensor, history: Tensor, valid: Tensor) -> Tensor:
        if self.hashes is None:
            near = (history @ target[:, :, None]).squeeze(2)
        else:  # ETA: how many signs of random projections agree.
            signs = [(rows @ self.hashes > 0).float() for rows in (history, target[:, None])]
            near = (signs[0] == signs[1]).sum(2).float()
        # Ties are the latest item's first, as TopK leaves open which it takes.
        near = (near - 1e-3 * torch.arange(HISTORY)).masked_fill(~valid, -1e9)
        best = near.topk(10, dim=1).indices
        kept = history.gather(1, best[:, :, None].expand(-1, -1, WIDTH))
        mask = valid.gather(1, best)[:, None, None]
        return self.attention(target[:, None], kept, mask).squeeze(1)


class SDIM(Pooled):
    """Items in the target's hash buckets, several hashes, each the normed sum of its items."""

    def __init__(self) -> None:
        super().__init__()
        self.hashes = weights(WIDTH, 8 * 3)

    def codes(self, rows: Tensor) -> Tensor:
        bits = (rows @ self.hashes > 0).long().unflatten(-1, (8, 3))
        return (bits * torch.tensor([1, 2, 4])).sum(-1)

    def pool(self, target: Tensor, history: Tensor, valid: Tensor) -> Tensor:
        same = (self.codes(history) == self.codes(target)[:, None]) & valid[:, :, None]
        sums = same.transpose(1, 2).float() @ history
        return nn.functional.normalize(sums, dim=2).mean(1)


class DMIN(Pooled):
    """A transformer, then several interests, each with the target's attention."""

    size = 2 * WIDTH

    def __init__(self) -> None:
        super().__init__()
        self.block = Block()
        self.interests = nn.ModuleList(nn.Linear(WIDTH, WIDTH) for _ in range(2))
        self.attention = nn.ModuleList(TargetAttention() for _ in range(2))

    def pool(self, target: Tensor, history: Tensor, valid: Tensor) -> Tensor:
        rows = self.block(history, valid[:, None, None])
        both = zip(self.interests, self.attention, strict=True)
        return torch.cat([pool(target, own(rows), valid) for own, pool in both], dim=1)


class DMR(Pooled):
    """Relevance from a user's side (a product with the target) and the items' (a sum of weights)."""

    size = WIDTH + 2

    def __init__(self) -> None:
        super().__init__()
        self.weigh, self.last = nn.Linear(2 * WIDTH, 1), nn.Linear(WIDTH, WIDTH)
        self.places = nn.Parameter(torch.randn(HISTORY, WIDTH) * 0.1)
        self.attention = TargetAttention()

    def pool(self, target: Tensor, history: Tensor, valid: Tensor) -> Tensor:
        placed = torch.cat([history, self.places.expand_as(history)], dim=2)
        share = self.weigh(placed).squeeze(2).masked_fill(~valid, -1e9).softmax(1)
        user = nn.functional.prelu(self.last((share[:, None] @ history).squeeze(1)), torch.tensor([0.25]))
        near = (history @ target[:, :, None]).squeeze(2).masked_fill(~valid, 0.0)
        parts = [(user * target).sum(1, keepdim=True), near.sum(1, keepdim=True) / HISTORY]
        return torch.cat([self.attention(target, history, valid), *parts], dim=1)


class CAN(Pooled):
    """A small network made of the target's numbers, over each item and its square."""

    size = 2 * 8

    def __init__(self) -> None:
        super().__init__()
        self.make = nn.Linear(WIDTH, WIDTH * 8 + 8 * 8)

    def pool(self, target: Tensor, history: Tensor, valid: Tensor) -> Tensor:
        made = 0.5 * self.make(target)
        first, second = made[:, : WIDTH * 8].reshape(-1, WIDTH, 8), made[:, WIDTH * 8 :].reshape(-1, 8, 8)
        kept = valid[:, :, None].float()
        powers = [(torch.tanh(torch.tanh(history**i @ first) @ second) * kept).sum(1) for i in (1, 2)]
        return torch.cat(powers, dim=1) / 10


MODELS = {
    "DIN": DIN,
    "DIEN": DIEN,
    "DSIN": DSIN,
    "BST": BST,
    "TransAct": TransAct,
    "OneTrans": OneTrans,
    "HSTU": HSTU,
    "SIM": SIM,
    "ETA": lambda: SIM(bits=16),
    "SDIM": SDIM,
    "DMIN": DMIN,
    "DMR": DMR,
    "CAN": CAN,
}
