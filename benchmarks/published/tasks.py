"""Models of several tasks, domains or kinds of users; tasks are ranked by the product of their answers."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn

from benchmarks.published.parts import FIELDS, FLAT, OWN, VOCABULARY, WIDTH, Fields, head, weights
from benchmarks.rulers.models import OneTable, mlp


class Tasks(Fields):
    """`tasks` gives a logit for each task, ``[B, 1]``; the score is the product of their sigmoids."""

    def forward(self, user: Tensor, item: Tensor) -> Tensor:
        vectors = torch.cat([self.user(user), self.item(item)], dim=1)
        answers = [torch.sigmoid(logit) for logit in self.tasks(vectors.flatten(1))]
        return torch.stack(answers).prod(0).squeeze(1)

    def tasks(self, rows: Tensor) -> list[Tensor]:
        raise NotImplementedError


class SharedBottom(Tasks):
    """One network for all tasks (also what MetaBalance trains), a head for each."""

    def __init__(self) -> None:
        super().__init__()
        self.bottom = mlp(FLAT, (256, 128))
        self.heads = nn.ModuleList(head(128, 64) for _ in range(2))

    def tasks(self, rows: Tensor) -> list[Tensor]:
        shared = self.bottom(rows)
        return [top(shared) for top in self.heads]


class ESMM(Tasks):
    """Towers over the same vectors; ESCM2 has one more for what is not clicked."""

    def __init__(self, towers: int = 2) -> None:
        super().__init__()
        self.towers = nn.ModuleList(head(FLAT, 128, 64) for _ in range(towers))

    def tasks(self, rows: Tensor) -> list[Tensor]:
        return [tower(rows) for tower in self.towers]


class MMoE(Tasks):
    """Experts for all tasks, gates for each; in layers as HMoE and PLE have them."""

    def __init__(self, experts: int = 4) -> None:
        super().__init__()
        self.experts = nn.ModuleList(mlp(FLAT, (128, 64)) for _ in range(experts))
        self.gates = nn.ModuleList(nn.Linear(FLAT, experts) for _ in range(2))
        self.heads = nn.ModuleList(head(64, 32) for _ in range(2))

    def tasks(self, rows: Tensor) -> list[Tensor]:
        made = torch.stack([expert(rows) for expert in self.experts], dim=1)
        shares = [gate(rows).softmax(1)[:, None] for gate in self.gates]
        return [top((share @ made).squeeze(1)) for top, share in zip(self.heads, shares, strict=True)]


class HMoE(MMoE):
    """A task's answer counts for the other as well, by learned shares that get no gradient."""

    def __init__(self) -> None:
        super().__init__()
        self.relations = nn.ModuleList(nn.Linear(FLAT, 2) for _ in range(2))

    def tasks(self, rows: Tensor) -> list[Tensor]:
        answers = torch.cat(super().tasks(rows), dim=1)
        shares = [relation(rows).softmax(1) for relation in self.relations]
        return [(share * answers).sum(1, keepdim=True) for share in shares]


class PLE(Tasks):
    """Two layers of experts of tasks and shared ones."""

    def __init__(self) -> None:
        super().__init__()
        sizes = ((FLAT, 128), (128, 64))
        self.experts = nn.ModuleList(
            nn.ModuleList(nn.ModuleList(mlp(size, (to,)) for _ in range(2)) for _ in range(3))
            for size, to in sizes
        )
        self.gates = nn.ModuleList(
            nn.ModuleList(nn.Linear(size, 6 if side == 2 else 4) for side in range(3)) for size, _ in sizes
        )
        self.heads = nn.ModuleList(head(64, 32) for _ in range(2))

    def tasks(self, rows: Tensor) -> list[Tensor]:
        sides = [rows] * 3
        for experts, gates in zip(self.experts, self.gates, strict=True):
            made = [[expert(side) for expert in own] for own, side in zip(experts, sides, strict=True)]
            groups = [made[0] + made[2], made[1] + made[2], made[0] + made[1] + made[2]]
            sides = [
                (gate(side).softmax(1)[:, None] @ torch.stack(group, dim=1)).squeeze(1)
                for gate, side, group in zip(gates, sides, groups, strict=True)
            ]
        return [top(side) for top, side in zip(self.heads, sides, strict=False)]


class AITM(Tasks):
    """What a task knows goes to the next, through attention over both."""

    def __init__(self) -> None:
        super().__init__()
        self.towers = nn.ModuleList(mlp(FLAT, (128, 64)) for _ in range(2))
        self.info = mlp(64, (64,))
        self.query, self.key, self.value = (nn.Linear(64, 64) for _ in range(3))
        self.heads = nn.ModuleList(nn.Linear(64, 1) for _ in range(2))

    def tasks(self, rows: Tensor) -> list[Tensor]:
        first, second = (tower(rows) for tower in self.towers)
        both = torch.stack([self.info(first), second], dim=1)
        logits = (self.query(both) * self.key(both)).sum(2, keepdim=True) / 8
        joined = (logits.softmax(1) * self.value(both)).sum(1)
        return [self.heads[0](first), self.heads[1](joined)]


class CrossStitch(Tasks):
    """Networks of tasks whose layers are mixed by a small matrix."""

    def __init__(self) -> None:
        super().__init__()
        sizes = (FLAT, 128, 64)
        self.layers = nn.ModuleList(
            nn.ModuleList(mlp(size, (to,)) for _ in range(2)) for size, to in itertools.pairwise(sizes)
        )
        self.stitches = nn.ParameterList(nn.Parameter(torch.rand(2, 2)) for _ in range(2))
        self.heads = nn.ModuleList(nn.Linear(64, 1) for _ in range(2))

    def tasks(self, rows: Tensor) -> list[Tensor]:
        sides = [rows, rows]
        for layers, stitch in zip(self.layers, self.stitches, strict=True):
            made = torch.stack([layer(side) for layer, side in zip(layers, sides, strict=True)], dim=1)
            sides = list((stitch @ made).unbind(1))
        return [top(side) for top, side in zip(self.heads, sides, strict=True)]


class Gated(Fields):
    """PEPNet, EPNet, LHUC, POSO: gates of the request's fields over vectors, over neurons, or over both."""

    def __init__(self, vectors: bool, neurons: bool) -> None:
        super().__init__()
        self.sizes = (FLAT, 256, 128)
        self.vectors, self.neurons = vectors, neurons
        self.layers = nn.ModuleList(
            nn.Linear(size, to) for size, to in zip(self.sizes, self.sizes[1:], strict=False)
        )
        self.gates = nn.ModuleList(
            nn.Sequential(*mlp(4 * WIDTH + FLAT, (64,)), nn.Linear(64, size), nn.Sigmoid())
            for size in self.sizes
        )
        self.last = nn.Linear(128, 1)

    def logit(self, vectors: Tensor) -> Tensor:
        rows = vectors.flatten(1)
        known = torch.cat([vectors[:, :4].flatten(1), rows.detach()], dim=1)
        if self.vectors:
            rows = rows * self.gates[0](known) * 2
        for layer, gate in zip(self.layers, list(self.gates)[1:], strict=True):
            rows = torch.relu(layer(rows))
            if self.neurons:
                rows = rows * gate(known) * 2
        return self.last(rows)


class POSO(Fields):
    """A gate for each of several copies of a network, from the user's kind."""

    def __init__(self) -> None:
        super().__init__()
        self.copies = nn.ModuleList(mlp(FLAT, (128, 64)) for _ in range(3))
        self.gate = nn.Sequential(*mlp(2 * WIDTH, (16,)), nn.Linear(16, 3), nn.Sigmoid())
        self.last = nn.Linear(64, 1)

    def logit(self, vectors: Tensor) -> Tensor:
        rows, gates = vectors.flatten(1), self.gate(vectors[:, :2].flatten(1))
        return self.last(sum(2 * gates[:, i : i + 1] * copy(rows) for i, copy in enumerate(self.copies)))


class LHUC(Fields):
    """A user's own factor for each neuron, from a table."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList((nn.Linear(FLAT, 256), nn.Linear(256, 128)))
        self.factors = nn.ModuleList(nn.Embedding(VOCABULARY, size) for size in (256, 128))
        self.last = nn.Linear(128, 1)

    def forward(self, user: Tensor, item: Tensor) -> Tensor:
        rows = torch.cat([self.user(user), self.item(item)], dim=1).flatten(1)
        for layer, factors in zip(self.layers, self.factors, strict=True):
            rows = torch.relu(layer(rows)) * 2 * torch.sigmoid(factors(user[:, 0]))
        return torch.sigmoid(self.last(rows)).squeeze(1)


class STAR(Fields):
    """A shared network times that of the request's domain."""

    def __init__(self) -> None:
        super().__init__()
        sizes = (FLAT, 128, 64, 1)
        self.shared = nn.ParameterList(weights(a, b) for a, b in itertools.pairwise(sizes))
        self.own = nn.ParameterList(
            nn.Parameter(1 + 0.1 * torch.randn(8, a, b)) for a, b in itertools.pairwise(sizes)
        )
        self.biases = nn.ModuleList(nn.Embedding(8, b) for b in sizes[1:])

    def forward(self, user: Tensor, item: Tensor) -> Tensor:
        domain = user[:, 0] % 8
        rows = torch.cat([self.user(user), self.item(item)], dim=1).flatten(1)
        for i, (shared, own, bias) in enumerate(zip(self.shared, self.own, self.biases, strict=True)):
            made = torch.stack([rows @ (shared * matrix) for matrix in own], dim=1)
            picked = made.gather(1, domain[:, None, None].expand(-1, 1, made.shape[2])).squeeze(1)
            rows = picked + bias(domain)
            rows = torch.relu(rows) if i < 2 else rows
        return torch.sigmoid(rows).squeeze(1)


class APG(Fields):
    """Weights made for each row: a low-rank layer with a matrix from the request's fields."""

    def __init__(self, rank: int = 16) -> None:
        super().__init__()
        self.rank = rank
        self.make = nn.ModuleList(
            nn.Sequential(*mlp(4 * WIDTH, (32,)), nn.Linear(32, rank * rank)) for _ in range(2)
        )
        self.down = nn.ModuleList((nn.Linear(FLAT, rank), nn.Linear(128, rank)))
        self.up = nn.ModuleList((nn.Linear(rank, 128), nn.Linear(rank, 64)))
        self.last = nn.Linear(64, 1)

    def logit(self, vectors: Tensor) -> Tensor:
        known, rows = vectors[:, :4].flatten(1), vectors.flatten(1)
        for make, down, up in zip(self.make, self.down, self.up, strict=True):
            matrix = make(known).reshape(-1, self.rank, self.rank)
            rows = torch.relu(up((down(rows)[:, None] @ matrix).squeeze(1)))
        return self.last(rows)


class AdaSparse(Fields):
    """Neurons that a domain's small network prunes below a threshold."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList((nn.Linear(FLAT, 256), nn.Linear(256, 128)))
        self.pruners = nn.ModuleList(nn.Linear(2 * WIDTH + size, size) for size in (FLAT, 256))
        self.last = nn.Linear(128, 1)

    def logit(self, vectors: Tensor) -> Tensor:
        domain, rows = vectors[:, :2].flatten(1), vectors.flatten(1)
        for layer, pruner in zip(self.layers, self.pruners, strict=True):
            factor = torch.sigmoid(pruner(torch.cat([domain, rows], dim=1)))
            rows = torch.relu(layer(rows * torch.where(factor > 0.25, factor * 2, 0.0)))
        return self.last(rows)


class M2M(Fields):
    """Layers whose weights are made of the scenario's fields, with a residual sum."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.width = width
        self.first = mlp(FLAT, (128, width))
        self.make = nn.ModuleList(nn.Linear(4 * WIDTH, width * width) for _ in range(2))
        self.bias = nn.ModuleList(nn.Linear(4 * WIDTH, width) for _ in range(2))
        self.last = nn.Linear(width, 1)

    def logit(self, vectors: Tensor) -> Tensor:
        scenario, rows = vectors[:, :4].flatten(1), self.first(vectors.flatten(1))
        for make, bias in zip(self.make, self.bias, strict=True):
            matrix = make(scenario).reshape(-1, self.width, self.width)
            made = (matrix @ rows[:, :, None]).squeeze(2) + bias(scenario)
            rows = nn.functional.leaky_relu(made) + rows
        return self.last(rows)


class NeuMF(nn.Module):
    """Matrix factorisation beside an MLP, with vectors of their own."""

    def __init__(self) -> None:
        super().__init__()
        self.users, self.items = (OneTable((VOCABULARY, VOCABULARY), 64) for _ in range(2))
        self.deep = mlp(128, (128, 64))
        self.last = nn.Linear(128, 1)

    def forward(self, user: Tensor, item: Tensor) -> Tensor:
        users = self.users(user[:, :1].expand(-1, 2)).unbind(1)
        items = self.items(item[:, :1].expand(-1, 2)).unbind(1)
        deep = self.deep(torch.cat([users[1], items[1]], dim=1))
        return torch.sigmoid(self.last(torch.cat([users[0] * items[0], deep], dim=1))).squeeze(1)


class TwoTowers(Fields):
    """The cosine of a user's and an item's network."""

    def __init__(self) -> None:
        super().__init__()
        self.left = nn.Sequential(*mlp(OWN * WIDTH, (256,)), nn.Linear(256, 64))
        self.right = nn.Sequential(*mlp((FIELDS - OWN) * WIDTH, (256,)), nn.Linear(256, 64))

    def logit(self, vectors: Tensor) -> Tensor:
        left, right = self.left(vectors[:, :OWN].flatten(1)), self.right(vectors[:, OWN:].flatten(1))
        left, right = (nn.functional.normalize(side, dim=1) for side in (left, right))
        return 5 * (left * right).sum(1, keepdim=True)


MODELS = {
    "SharedBottom": SharedBottom,
    "ESMM": ESMM,
    "ESCM2": lambda: ESMM(3),
    "MMoE": MMoE,
    "HMoE": HMoE,
    "PLE": PLE,
    "AITM": AITM,
    "Cross-Stitch": CrossStitch,
    "PEPNet": lambda: Gated(vectors=True, neurons=True),
    "EPNet": lambda: Gated(vectors=True, neurons=False),
    "POSO": POSO,
    "LHUC": LHUC,
    "STAR": STAR,
    "APG": APG,
    "AdaSparse": AdaSparse,
    "M2M": M2M,
    "NeuMF": NeuMF,
    "Two towers": TwoTowers,
}
