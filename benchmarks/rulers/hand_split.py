"""R1 and R2 as two graphs each, as one would split them by hand for a general runtime.

The user's graph runs once for a request; the candidates' graph takes its results as inputs of one row.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from benchmarks.rulers.inputs import ITEM_NUMBERS, USER_NUMBERS, USER_VOCABULARIES, WIDTH
from benchmarks.rulers.models import FEATURES, NUMBERS, VOCABULARIES, DeepFM, WideDeep

_USER_FIELDS = len(USER_VOCABULARIES) * WIDTH
_FIELDS = len(VOCABULARIES) * WIDTH
_USER_FEATURES = [*range(_USER_FIELDS), *range(_FIELDS, _FIELDS + USER_NUMBERS)]
_ITEM_FEATURES = [*range(_USER_FIELDS, _FIELDS), *range(FEATURES - ITEM_NUMBERS, FEATURES)]


def _part(layer: nn.Module, columns: Sequence[int], bias: bool) -> nn.Linear:
    """The part of a linear layer that reads some of its inputs."""
    whole = cast(nn.Linear, layer)
    made = nn.Linear(len(columns), whole.out_features, bias=bias)
    made.weight = nn.Parameter(whole.weight[:, list(columns)], requires_grad=False)
    if bias:
        made.bias = whole.bias
    return made


class WideDeepUser(nn.Module):
    """The user's part of R1: its share of the first layer with the bias, and of the linear model."""

    def __init__(self, model: WideDeep) -> None:
        super().__init__()
        self.model = model
        self.first = _part(model.deep[0], _USER_FEATURES, bias=True)
        self.numbers = _part(model.wide_numbers, range(USER_NUMBERS), bias=True)

    def forward(self, user_ids: Tensor, user_numbers: Tensor) -> tuple[Tensor, Tensor]:
        hidden = self.first(torch.cat([*self.model.user(user_ids), user_numbers], dim=1))
        wide = torch.cat(self.model.wide_user(user_ids), dim=1).sum(dim=1, keepdim=True)
        return hidden, wide + self.numbers(user_numbers)


class WideDeepCandidates(nn.Module):
    """The rest of R1."""

    def __init__(self, model: WideDeep) -> None:
        super().__init__()
        self.model = model
        self.first = _part(model.deep[0], _ITEM_FEATURES, bias=False)
        self.numbers = _part(model.wide_numbers, range(USER_NUMBERS, NUMBERS), bias=False)
        self.rest = nn.Sequential(*list(model.deep)[1:], model.last)

    def forward(self, item_ids: Tensor, item_numbers: Tensor, hidden: Tensor, wide: Tensor) -> Tensor:
        first = self.first(torch.cat([*self.model.item(item_ids), item_numbers], dim=1)) + hidden
        own = torch.cat(self.model.wide_item(item_ids), dim=1).sum(dim=1, keepdim=True)
        return torch.sigmoid(own + self.numbers(item_numbers) + wide + self.rest(first)).squeeze(1)


class DeepFMUser(nn.Module):
    """The user's part of R2: its share of the first layer, the sum of its vectors, its own score."""

    def __init__(self, model: DeepFM) -> None:
        super().__init__()
        self.model = model
        self.first = _part(model.deep[0], _USER_FEATURES, bias=True)
        self.numbers = _part(model.linear_numbers, range(USER_NUMBERS), bias=True)

    def forward(self, user_ids: Tensor, user_numbers: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        vectors = self.model.user(user_ids)
        hidden = self.first(torch.cat([vectors.flatten(1), user_numbers], dim=1))
        total = vectors.sum(dim=1)
        pairs = 0.5 * (total**2 - (vectors**2).sum(dim=1)).sum(dim=1, keepdim=True)
        linear = self.model.linear_user(user_ids).sum(dim=1) + self.numbers(user_numbers)
        return hidden, total, pairs + linear


class DeepFMCandidates(nn.Module):
    """The rest of R2."""

    def __init__(self, model: DeepFM) -> None:
        super().__init__()
        self.model = model
        self.first = _part(model.deep[0], _ITEM_FEATURES, bias=False)
        self.numbers = _part(model.linear_numbers, range(USER_NUMBERS, NUMBERS), bias=False)
        self.rest = nn.Sequential(*list(model.deep)[1:], model.last)

    def forward(
        self, item_ids: Tensor, item_numbers: Tensor, hidden: Tensor, total: Tensor, own: Tensor
    ) -> Tensor:
        vectors = self.model.item(item_ids)
        first = self.first(torch.cat([vectors.flatten(1), item_numbers], dim=1)) + hidden
        item_total = vectors.sum(dim=1)
        pairs = 0.5 * (item_total**2 - (vectors**2).sum(dim=1)) + item_total * total
        linear = self.model.linear_item(item_ids).sum(dim=1) + self.numbers(item_numbers)
        scores = pairs.sum(dim=1, keepdim=True) + linear + own
        return torch.sigmoid(scores + self.rest(first)).squeeze(1)


PARTS = {"r1": (WideDeepUser, WideDeepCandidates), "r2": (DeepFMUser, DeepFMCandidates)}
"""For each ruler: the user's graph and the candidates'."""

SHARED = {"r1": ("hidden", "wide"), "r2": ("hidden", "total", "own")}
"""What the user's graph hands over, in order."""
