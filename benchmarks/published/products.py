"""Models of products of fields: factorisation machines and product networks."""

from __future__ import annotations

from itertools import combinations

import torch
from torch import Tensor, nn

from benchmarks.published.parts import FIELDS, FLAT, OWN, VOCABULARY, WIDTH, Fields, head, pairs, weights

PAIRS = FIELDS * (FIELDS - 1) // 2


class CrossedLR(nn.Module):
    """A linear model of ids and of hashed crosses of the request's with the item's."""

    def __init__(self) -> None:
        super().__init__()
        self.single = nn.Embedding(FIELDS * VOCABULARY, 1)
        self.crossed = nn.Embedding(100_003, 1)

    def forward(self, user: Tensor, item: Tensor) -> Tensor:
        ids = torch.cat([user, item], dim=1) + torch.arange(FIELDS) * VOCABULARY
        crosses = (user[:, :, None] * 7919 + item[:, None, :] * 104_729).flatten(1) % 100_003
        made = self.single(ids).sum(1) + self.crossed(crosses).sum(1)
        return torch.sigmoid(0.1 * made).squeeze(1)


class FM(Fields):
    """The sum of all pairs' products."""

    def logit(self, vectors: Tensor) -> Tensor:
        return 0.05 * (vectors.sum(1) ** 2 - (vectors**2).sum(1)).sum(1, keepdim=True)


class FwFM(Fields):
    """A weight for each pair."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = pairs()
        self.weigh = nn.Linear(PAIRS, 1)

    def logit(self, vectors: Tensor) -> Tensor:
        return self.weigh((vectors[:, self.first] * vectors[:, self.second]).sum(-1))


class FmFM(Fields):
    """A matrix for each pair."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = pairs()
        self.matrices = weights(PAIRS, WIDTH, WIDTH)

    def logit(self, vectors: Tensor) -> Tensor:
        turned = (vectors[:, self.first].unsqueeze(2) @ self.matrices).squeeze(2)
        return 0.05 * (turned * vectors[:, self.second]).sum((1, 2)).unsqueeze(1)


class NFM(Fields):
    """An MLP over the sum of the pairs' products of numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.deep = head(WIDTH, 128, 64)

    def logit(self, vectors: Tensor) -> Tensor:
        return self.deep(0.1 * (vectors.sum(1) ** 2 - (vectors**2).sum(1)))


class HOFM(Fields):
    """Orders two and three of a factorisation machine, by sums of powers."""

    def logit(self, vectors: Tensor) -> Tensor:
        one, two, three = (vectors**power for power in (1, 2, 3))
        one, two, three = one.sum(1), two.sum(1), three.sum(1)
        second = (one**2 - two) / 2
        third = (one**3 - 3 * one * two + 2 * three) / 6
        return (0.05 * second + 0.01 * third).sum(1, keepdim=True)


class ProductNetwork(Fields):
    """IPNN, OPNN, KPNN, PIN: an MLP over the vectors and something of each pair."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind
        self.first, self.second = pairs()
        if kind == "outer":
            self.kernel = weights(PAIRS, WIDTH, WIDTH)
        elif kind == "kernel":
            self.kernel = weights(WIDTH, PAIRS, WIDTH)
        elif kind == "network":
            self.kernel = weights(PAIRS, 3 * WIDTH, 4)
        sizes = {"network": 4 * PAIRS, "sum": WIDTH * WIDTH}
        self.deep = head(FLAT + sizes.get(kind, PAIRS), 128, 64)

    def logit(self, vectors: Tensor) -> Tensor:
        return self.deep(torch.cat([vectors.flatten(1), self.products(vectors)], dim=1))

    def products(self, vectors: Tensor) -> Tensor:
        if self.kind == "sum":  # The paper's approximation: the outer product of the sums.
            total = vectors.sum(1) / FIELDS
            return (total[:, :, None] * total[:, None, :]).flatten(1)
        first, second = vectors[:, self.first], vectors[:, self.second]
        if self.kind == "inner":
            return (first * second).sum(-1)
        if self.kind == "outer":
            return ((first.unsqueeze(2) @ self.kernel).squeeze(2) * second).sum(-1)
        if self.kind == "kernel":
            return ((first[:, None] * self.kernel).sum(-1).transpose(1, 2) * second).sum(-1)
        both = torch.cat([first, second, first * second], dim=-1)
        return torch.relu(both.unsqueeze(2) @ self.kernel).flatten(1)


class ONN(Fields):
    """A vector of each field for every other; an MLP over their products."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = pairs()
        self.users = nn.Embedding(OWN * VOCABULARY, FIELDS * 4)
        self.items = nn.Embedding((FIELDS - OWN) * VOCABULARY, FIELDS * 4)
        self.deep = head(FLAT + PAIRS, 128, 64)

    def forward(self, user: Tensor, item: Tensor) -> Tensor:
        both = [self.users(user + self.user.offsets), self.items(item + self.item.offsets)]
        others = torch.cat(both, dim=1).unflatten(2, (FIELDS, 4))
        products = (others[:, self.first, self.second] * others[:, self.second, self.first]).sum(-1)
        vectors = torch.cat([self.user(user), self.item(item)], dim=1)
        return torch.sigmoid(self.deep(torch.cat([vectors.flatten(1), products], dim=1))).squeeze(1)


class AFM(Fields):
    """Attention over the pairs' products."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = pairs()
        self.hidden, self.weigh = nn.Linear(WIDTH, 8), nn.Linear(8, 1, bias=False)
        self.last = nn.Linear(WIDTH, 1)

    def logit(self, vectors: Tensor) -> Tensor:
        products = vectors[:, self.first] * vectors[:, self.second]
        share = self.weigh(torch.relu(self.hidden(products))).softmax(1)
        return self.last((share * products).sum(1))


class FLEN(Fields):
    """Fields in groups: sums of groups multiplied, an MLP beside them."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = pairs(3)
        self.deep, self.last = head(FLAT, 128, 64), nn.Linear(2 * WIDTH, 1)

    def logit(self, vectors: Tensor) -> Tensor:
        parts = [vectors[:, :8], vectors[:, 8:OWN], vectors[:, OWN:]]
        sums = torch.stack([part.sum(1) for part in parts], dim=1)
        between = (sums[:, self.first] * sums[:, self.second]).sum(1)
        within = sum(part.sum(1) ** 2 - (part**2).sum(1) for part in parts)
        return self.deep(vectors.flatten(1)) + self.last(0.1 * torch.cat([between, within], dim=1))


class AFN(Fields):
    """Products with learned powers: a layer between logarithms and exponentials."""

    def __init__(self) -> None:
        super().__init__()
        self.orders = nn.Linear(FIELDS, 128)
        self.norm = nn.BatchNorm1d(128)
        self.deep = head(128 * WIDTH, 128, 64)

    def logit(self, vectors: Tensor) -> Tensor:
        logs = torch.log(vectors.abs().clamp(min=1e-2)).transpose(1, 2)
        crossed = self.norm(torch.exp(0.3 * self.orders(logs)).transpose(1, 2))
        return self.deep(crossed.flatten(1))


class FiBiNET(Fields):
    """Gates of fields by their means, and products through one matrix, one a field, or one a pair."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.first, self.second = pairs()
        self.kind = kind
        count = {"all": 1, "each": FIELDS - 1, "pair": PAIRS}[kind]
        self.matrices = nn.ParameterList(weights(WIDTH, WIDTH) for _ in range(count))
        self.gate = nn.Sequential(nn.Linear(FIELDS, 8), nn.ReLU(), nn.Linear(8, FIELDS), nn.ReLU())
        self.deep = head(2 * PAIRS * WIDTH, 128, 64)

    def bilinear(self, vectors: Tensor) -> Tensor:
        if self.kind == "all":
            turned = vectors @ self.matrices[0]
            return turned[:, self.first] * vectors[:, self.second]
        split = vectors.unbind(1)
        places = list(combinations(range(FIELDS), 2))
        if self.kind == "each":
            each = [field @ matrix for field, matrix in zip(split, self.matrices, strict=False)]
            return torch.stack([each[i] * split[j] for i, j in places], dim=1)
        made = [split[i] @ self.matrices[k] * split[j] for k, (i, j) in enumerate(places)]
        return torch.stack(made, dim=1)

    def logit(self, vectors: Tensor) -> Tensor:
        gated = vectors * self.gate(vectors.mean(-1))[:, :, None]
        both = torch.cat([self.bilinear(vectors), self.bilinear(gated)], dim=1)
        return self.deep(both.flatten(1))


class ConvNCF(nn.Module):
    """A stack of convolutions over the outer product of a user's and an item's vector."""

    def __init__(self) -> None:
        super().__init__()
        self.user, self.item = nn.Embedding(VOCABULARY, 64), nn.Embedding(VOCABULARY, 64)
        sizes = (1, *(32,) * 6)
        layers = [nn.Conv2d(sizes[i], sizes[i + 1], 2, stride=2) for i in range(6)]
        self.layers, self.last = nn.ModuleList(layers), nn.Linear(32, 1)

    def forward(self, user: Tensor, item: Tensor) -> Tensor:
        made = (self.user(user[:, 0])[:, :, None] * self.item(item[:, 0])[:, None, :]).unsqueeze(1)
        for layer in self.layers:
            made = torch.relu(layer(made))
        return torch.sigmoid(self.last(made.flatten(1))).squeeze(1)


MODELS = {
    "LR with crosses": CrossedLR,
    "FM": FM,
    "FwFM": FwFM,
    "FmFM": FmFM,
    "NFM": NFM,
    "HOFM": HOFM,
    "IPNN": lambda: ProductNetwork("inner"),
    "OPNN": lambda: ProductNetwork("outer"),
    "OPNN of sums": lambda: ProductNetwork("sum"),
    "KPNN": lambda: ProductNetwork("kernel"),
    "PIN": lambda: ProductNetwork("network"),
    "ONN": ONN,
    "AFM": AFM,
    "FLEN": FLEN,
    "AFN": AFN,
    "FiBiNET, one matrix": lambda: FiBiNET("all"),
    "FiBiNET, a matrix for each field": lambda: FiBiNET("each"),
    "FiBiNET, a matrix for each pair": lambda: FiBiNET("pair"),
    "ConvNCF": ConvNCF,
}
