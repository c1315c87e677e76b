"""The rulers R1 to R5 as they are usually written in PyTorch, with random weights.

Tables are separate in R1, R3 and R5, and one table with offsets in R2 and R4: both are common. Layers
start with He's initialisation, so that about half of the ReLUs are active at every depth.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from benchmarks.rulers.inputs import (
    DIN_USER_VOCABULARIES,
    DIN_VOCABULARIES,
    HISTORY,
    ITEM_NUMBERS,
    ITEM_VOCABULARIES,
    USER_NUMBERS,
    USER_VOCABULARIES,
    WIDTH,
)

VOCABULARIES = USER_VOCABULARIES + ITEM_VOCABULARIES
NUMBERS = USER_NUMBERS + ITEM_NUMBERS
FEATURES = len(VOCABULARIES) * WIDTH + NUMBERS


def mlp(inputs: int, hidden: Sequence[int], activation: Callable[[], nn.Module] = nn.ReLU) -> nn.Sequential:
    """Linear layers, each with its activation."""
    layers: list[nn.Module] = []
    for outputs in hidden:
        layers += [nn.Linear(inputs, outputs), activation()]
        inputs = outputs
    return nn.Sequential(*layers)


class Tables(nn.Module):
    """An embedding table for each column of ids."""

    def __init__(self, sizes: Sequence[int], width: int) -> None:
        super().__init__()
        self.tables = nn.ModuleList(nn.Embedding(size, width) for size in sizes)

    def forward(self, ids: Tensor) -> list[Tensor]:
        return [table(ids[:, i]) for i, table in enumerate(self.tables)]


class OneTable(nn.Module):
    """One embedding table for all columns of ids, each with its own range of rows."""

    offsets: Tensor

    def __init__(self, sizes: Sequence[int], width: int) -> None:
        super().__init__()
        self.table = nn.Embedding(sum(sizes), width)
        starts = torch.tensor([0, *sizes[:-1]]).cumsum(0)
        self.register_buffer("offsets", starts)

    def forward(self, ids: Tensor) -> Tensor:
        vectors: Tensor = self.table(ids + self.offsets)
        return vectors


class WideDeep(nn.Module):
    """R1: a linear model beside an MLP 256-128-64-1."""

    def __init__(self) -> None:
        super().__init__()
        self.wide_user = Tables(USER_VOCABULARIES, 1)
        self.wide_item = Tables(ITEM_VOCABULARIES, 1)
        self.wide_numbers = nn.Linear(NUMBERS, 1)
        self.user = Tables(USER_VOCABULARIES, WIDTH)
        self.item = Tables(ITEM_VOCABULARIES, WIDTH)
        self.deep = mlp(FEATURES, (256, 128, 64))
        self.last = nn.Linear(64, 1)

    def forward(
        self, user_ids: Tensor, user_numbers: Tensor, item_ids: Tensor, item_numbers: Tensor
    ) -> Tensor:
        numbers = torch.cat([user_numbers, item_numbers], dim=1)
        wide = torch.cat([*self.wide_user(user_ids), *self.wide_item(item_ids)], dim=1)
        wide = wide.sum(dim=1, keepdim=True) + self.wide_numbers(numbers)
        deep = self.deep(torch.cat([*self.user(user_ids), *self.item(item_ids), numbers], dim=1))
        return torch.sigmoid(wide + self.last(deep)).squeeze(1)


class DeepFM(nn.Module):
    """R2: first-order terms, factorisation machine and MLP 400-400-400-1 over shared embeddings."""

    def __init__(self) -> None:
        super().__init__()
        self.linear_user = OneTable(USER_VOCABULARIES, 1)
        self.linear_item = OneTable(ITEM_VOCABULARIES, 1)
        self.linear_numbers = nn.Linear(NUMBERS, 1)
        self.user = OneTable(USER_VOCABULARIES, WIDTH)
        self.item = OneTable(ITEM_VOCABULARIES, WIDTH)
        self.deep = mlp(FEATURES, (400, 400, 400))
        self.last = nn.Linear(400, 1)

    def forward(
        self, user_ids: Tensor, user_numbers: Tensor, item_ids: Tensor, item_numbers: Tensor
    ) -> Tensor:
        numbers = torch.cat([user_numbers, item_numbers], dim=1)
        linear = self.linear_user(user_ids).sum(dim=1) + self.linear_item(item_ids).sum(dim=1)
        linear = linear + self.linear_numbers(numbers)
        vectors = torch.cat([self.user(user_ids), self.item(item_ids)], dim=1)
        square_of_sum = vectors.sum(dim=1) ** 2
        sum_of_squares = (vectors**2).sum(dim=1)
        pairs = 0.5 * (square_of_sum - sum_of_squares).sum(dim=1, keepdim=True)
        deep = self.deep(torch.cat([vectors.flatten(1), numbers], dim=1))
        return torch.sigmoid(linear + pairs + self.last(deep)).squeeze(1)


class DLRM(nn.Module):
    """R3: bottom MLP on the request's numbers, dot products of all pairs of vectors, MLP 512-256-1."""

    left: Tensor
    right: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.user = Tables(USER_VOCABULARIES, WIDTH)
        self.item = Tables(ITEM_VOCABULARIES, WIDTH)
        self.bottom = mlp(NUMBERS, (512, 256, 64, WIDTH))
        vectors = 1 + len(VOCABULARIES)
        left, right = torch.tril_indices(vectors, vectors, offset=-1)
        self.register_buffer("left", left)
        self.register_buffer("right", right)
        self.top = mlp(WIDTH + len(left), (512, 256))
        self.last = nn.Linear(256, 1)

    def forward(self, user_ids: Tensor, user_numbers: Tensor, item_ids: Tensor) -> Tensor:
        dense = self.bottom(user_numbers)
        vectors = torch.stack([dense, *self.user(user_ids), *self.item(item_ids)], dim=1)
        dots = torch.bmm(vectors, vectors.transpose(1, 2))
        pairs = dots[:, self.left, self.right]
        return torch.sigmoid(self.last(self.top(torch.cat([dense, pairs], dim=1)))).squeeze(1)


class DCNv2(nn.Module):
    """R4: three full cross layers beside an MLP 256-128-64, one linear layer over both."""

    def __init__(self) -> None:
        super().__init__()
        self.user = OneTable(USER_VOCABULARIES, WIDTH)
        self.item = OneTable(ITEM_VOCABULARIES, WIDTH)
        self.cross = nn.ModuleList(nn.Linear(FEATURES, FEATURES) for _ in range(3))
        self.deep = mlp(FEATURES, (256, 128, 64))
        self.last = nn.Linear(FEATURES + 64, 1)

    def forward(
        self, user_ids: Tensor, user_numbers: Tensor, item_ids: Tensor, item_numbers: Tensor
    ) -> Tensor:
        user, item = self.user(user_ids).flatten(1), self.item(item_ids).flatten(1)
        first = torch.cat([user, user_numbers, item, item_numbers], dim=1)
        crossed = first
        for layer in self.cross:
            crossed = first * layer(crossed) + crossed
        both = torch.cat([crossed, self.deep(first)], dim=1)
        return torch.sigmoid(self.last(both)).squeeze(1)


class DIN(nn.Module):
    """R5: attention of the candidate over the user's history, then an MLP 200-80-1 with PReLU."""

    def __init__(self) -> None:
        super().__init__()
        items, categories = DIN_VOCABULARIES
        self.user = Tables(DIN_USER_VOCABULARIES, WIDTH)
        self.items = nn.Embedding(items, WIDTH, padding_idx=0)
        self.categories = nn.Embedding(categories, WIDTH, padding_idx=0)
        self.attention = mlp(4 * 2 * WIDTH, (80, 40), nn.Sigmoid)
        self.weight = nn.Linear(40, 1)
        self.top = mlp((2 + 2 + 2) * WIDTH, (200, 80), nn.PReLU)
        self.last = nn.Linear(80, 1)

    def forward(
        self,
        user_ids: Tensor,
        history_items: Tensor,
        history_categories: Tensor,
        item: Tensor,
        category: Tensor,
    ) -> Tensor:
        history = torch.cat([self.items(history_items), self.categories(history_categories)], dim=-1)
        query = torch.cat([self.items(item), self.categories(category)], dim=-1)
        queries = query.unsqueeze(1).expand(-1, HISTORY, -1)
        compared = torch.cat([queries, history, queries - history, queries * history], dim=-1)
        weights = self.weight(self.attention(compared)).squeeze(-1)
        weights = weights.masked_fill(history_items == 0, -1e9).softmax(dim=1)
        interest = torch.bmm(weights.unsqueeze(1), history).squeeze(1)
        both = torch.cat([*self.user(user_ids), query, interest], dim=1)
        return torch.sigmoid(self.last(self.top(both))).squeeze(1)


MODELS: dict[str, type[nn.Module]] = {"r1": WideDeep, "r2": DeepFM, "r3": DLRM, "r4": DCNv2, "r5": DIN}


def build(ruler: str) -> nn.Module:
    """The ruler with weights of a fixed seed, ready to score."""
    torch.manual_seed(int(ruler[1:]))
    model = MODELS[ruler]().eval()
    # The factorisation machine's 325 products would drown the rest, and saturate the score.
    spread = 0.15 if ruler == "r2" else 0.3
    for module in model.modules():
        if isinstance(module, nn.Linear):
            gain = 1.0 if module.out_features in (1, module.in_features) else 2.0
            nn.init.normal_(module.weight, std=(gain / module.in_features) ** 0.5)
            nn.init.normal_(module.bias, std=0.1)
        elif isinstance(module, nn.Embedding):
            nn.init.normal_(module.weight, std=spread)
            if module.padding_idx is not None:
                nn.init.zeros_(module.weight[module.padding_idx])
    return model.requires_grad_(False)
