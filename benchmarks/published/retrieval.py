"""Models that make vectors of a history, which are multiplied with the target's."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from benchmarks.published.parts import (
    HISTORY,
    OWN,
    VOCABULARY,
    WIDTH,
    Attention,
    Block,
    Sequence,
    mean,
    weights,
)
from benchmarks.rulers.models import mlp


class Encoder(Sequence):
    """`encode` gives the request's vector, ``[B, D]``, or several, of which the best counts."""

    def logit(self, fields: Tensor, target: Tensor, history: Tensor, valid: Tensor) -> Tensor:
        made = self.encode(fields[:, : OWN * WIDTH], history, valid)
        if made.dim() == 3:
            return (made @ target[:, :, None]).squeeze(2).amax(1, keepdim=True) / 4
        return (made * target).sum(1, keepdim=True) / 4

    def encode(self, fields: Tensor, history: Tensor, valid: Tensor) -> Tensor:
        raise NotImplementedError


class YouTubeDNN(Encoder):
    def __init__(self) -> None:
        super().__init__()
        self.deep = nn.Sequential(*mlp((OWN + 1) * WIDTH, (256, 64)), nn.Linear(64, WIDTH))

    def encode(self, fields: Tensor, history: Tensor, valid: Tensor) -> Tensor:
        return self.deep(torch.cat([fields, mean(history, valid)], dim=1))


class Transformed(Encoder):
    """SASRec (causal) and BERT4Rec (a mask's row at the end): the last row of a transformer."""

    def __init__(self, causal: bool) -> None:
        super().__init__()
        self.places = nn.Parameter(torch.randn(HISTORY, WIDTH) * 0.1)
        self.blocks = nn.ModuleList(Block() for _ in range(2))
        self.hidden = nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.GELU(), nn.LayerNorm(WIDTH))
        self.causal = causal

    def encode(self, fields: Tensor, history: Tensor, valid: Tensor) -> Tensor:
        rows, mask = history + self.places, valid[:, None, None]
        if self.causal:
            mask = mask & torch.ones(HISTORY, HISTORY, dtype=torch.bool).tril()
        for block in self.blocks:
            rows = block(rows, mask)
        return rows[:, -1] if self.causal else self.hidden(rows[:, -1])


class GRU4Rec(Encoder):
    def __init__(self) -> None:
        super().__init__()
        self.unit, self.last = nn.GRU(WIDTH, 64, batch_first=True), nn.Linear(64, WIDTH)

    def encode(self, fields: Tensor, history: Tensor, valid: Tensor) -> Tensor:
        states = self.unit(history)[0]
        end = (valid.sum(1) - 1).clamp(min=0)
        return self.last(states.gather(1, end[:, None, None].expand(-1, 1, 64)).squeeze(1))


class NARM(Encoder):
    """A recurrent layer's last state beside attention of it over all states."""

    def __init__(self) -> None:
        super().__init__()
        self.unit = nn.GRU(WIDTH, 32, batch_first=True)
        self.left, self.right = (nn.Linear(32, 32, bias=False) for _ in range(2))
        self.weigh, self.last = nn.Linear(32, 1, bias=False), nn.Linear(64, WIDTH, bias=False)

    def encode(self, fields: Tensor, history: Tensor, valid: Tensor) -> Tensor:
        states, final = self.unit(history)
        final = final[0]
        logits = self.weigh(torch.sigmoid(self.left(states) + self.right(final)[:, None])) * valid[:, :, None]
        return self.last(torch.cat([final, (logits * states).sum(1) / HISTORY], dim=1))


class STAMP(Encoder):
    """Attention by the last item and the mean; two small networks, multiplied."""

    def __init__(self) -> None:
        super().__init__()
        self.parts = nn.ModuleList(nn.Linear(WIDTH, WIDTH) for _ in range(3))
        self.weigh = nn.Linear(WIDTH, 1, bias=False)
        self.ends = nn.ModuleList(nn.Linear(WIDTH, WIDTH) for _ in range(2))

    def encode(self, fields: Tensor, history: Tensor, valid: Tensor) -> Tensor:
        end = (valid.sum(1) - 1).clamp(min=0)
        last = history.gather(1, end[:, None, None].expand(-1, 1, WIDTH)).squeeze(1)
        whole = mean(history, valid)
        hidden = self.parts[0](history) + self.parts[1](last)[:, None] + self.parts[2](whole)[:, None]
        pooled = (self.weigh(torch.sigmoid(hidden)) * valid[:, :, None] * history).sum(1) / HISTORY
        left, right = self.ends[0](pooled + whole), self.ends[1](last)
        return torch.tanh(left) * torch.tanh(right) * 10


class Caser(Encoder):
    """Convolutions across items, of several heights, and along them."""

    def __init__(self) -> None:
        super().__init__()
        self.across = nn.ModuleList(nn.Conv2d(1, 8, (height, WIDTH)) for height in (2, 3, 4))
        self.along = nn.Conv2d(1, 4, (HISTORY, 1))
        self.last = nn.Linear(3 * 8 + 4 * WIDTH, WIDTH)

    def encode(self, fields: Tensor, history: Tensor, valid: Tensor) -> Tensor:
        image = (history * valid[:, :, None]).unsqueeze(1)
        parts = [torch.relu(layer(image)).squeeze(3).amax(2) for layer in self.across]
        return self.last(torch.cat([*parts, self.along(image).flatten(1)], dim=1))


class MIND(Encoder):
    """Capsules: interests by three rounds of routing."""

    def __init__(self, interests: int = 4) -> None:
        super().__init__()
        self.turn, self.start = weights(WIDTH, WIDTH), nn.Parameter(torch.randn(interests, HISTORY))
        self.deep = nn.Sequential(nn.Linear((OWN + 1) * WIDTH, 64), nn.ReLU(), nn.Linear(64, WIDTH))

    def encode(self, fields: Tensor, history: Tensor, valid: Tensor) -> Tensor:
        turned, known = history @ self.turn, valid[:, None]
        logits = self.start.expand(history.shape[0], -1, -1)
        for i in range(3):
            shares = logits.softmax(1).masked_fill(~known, 0.0)
            made = shares @ turned
            norm = (made**2).sum(-1, keepdim=True)
            made = made * norm / (1 + norm) / (norm + 1e-9).sqrt()
            if i < 2:
                logits = logits + made @ turned.transpose(1, 2)
        user = fields[:, None].expand(-1, made.shape[1], -1)
        return self.deep(torch.cat([user, made], dim=2))


class ComiRec(Encoder):
    """Interests by attention with a row of weights for each."""

    def __init__(self, interests: int = 4) -> None:
        super().__init__()
        self.hidden, self.weigh = nn.Linear(WIDTH, 64), nn.Linear(64, interests)
        self.places = nn.Parameter(torch.randn(HISTORY, WIDTH) * 0.1)

    def encode(self, fields: Tensor, history: Tensor, valid: Tensor) -> Tensor:
        logits = self.weigh(torch.tanh(self.hidden(history + self.places))).transpose(1, 2)
        return logits.masked_fill(~valid[:, None], -1e9).softmax(2) @ history


class SINE(Encoder):
    """The prototypes that a user is nearest to, of many; a sum of the interests they make."""

    def __init__(self) -> None:
        super().__init__()
        self.attention, self.prototypes = Attention(), weights(WIDTH, 64)
        self.weigh = nn.Linear(WIDTH, WIDTH)

    def encode(self, fields: Tensor, history: Tensor, valid: Tensor) -> Tensor:
        rows = self.attention(history, history, valid[:, None, None])
        values, best = (mean(rows, valid) @ self.prototypes).topk(4, dim=1)
        concepts = self.prototypes.T[best] * torch.sigmoid(values)[:, :, None]
        share = (concepts @ rows.transpose(1, 2)).softmax(1).masked_fill(~valid[:, None], 0.0)
        interests = nn.functional.normalize(share @ self.weigh(history), dim=2)
        final = (interests @ mean(rows, valid)[:, :, None]).softmax(1)
        return 5 * (final * interests).sum(1)


class Item2vec(Encoder):
    """The cosine of the target and the mean of the history."""

    def logit(self, fields: Tensor, target: Tensor, history: Tensor, valid: Tensor) -> Tensor:
        return nn.functional.cosine_similarity(mean(history, valid), target, dim=1).unsqueeze(1)


class LightGCN(nn.Module):
    """As it is served: vectors of users and items, after the graph's layers, and their product."""

    def __init__(self) -> None:
        super().__init__()
        self.users, self.items = nn.Embedding(VOCABULARY, 64), nn.Embedding(VOCABULARY, 64)

    def forward(self, user: Tensor, item: Tensor) -> Tensor:
        return (self.users(user[:, 0]) * self.items(item[:, 0])).sum(1) / 8


class EASE(nn.Module):
    """EASE and SLIM: the sum of an item's weights at the places of the history."""

    def __init__(self) -> None:
        super().__init__()
        self.matrix = nn.Parameter(torch.randn(VOCABULARY, VOCABULARY))

    def forward(self, user: Tensor, item: Tensor, history: Tensor) -> Tensor:
        found = self.matrix[history, item[:, :1]]
        return (found * (history != 0)).sum(1)


class MultVAE(nn.Module):
    """The history as a row of all items, through an encoder and a decoder; the target's logit of it."""

    def __init__(self) -> None:
        super().__init__()
        self.encode = nn.Sequential(nn.Linear(VOCABULARY, 256), nn.Tanh(), nn.Linear(256, 64))
        self.decode = nn.Sequential(nn.Linear(64, 256), nn.Tanh(), nn.Linear(256, VOCABULARY))

    def forward(self, user: Tensor, item: Tensor, history: Tensor) -> Tensor:
        seen = torch.zeros(history.shape[0], VOCABULARY).scatter(1, history, 1.0)
        logits = self.decode(self.encode(nn.functional.normalize(seen, dim=1)))
        return logits.gather(1, item[:, :1]).squeeze(1)


MODELS = {
    "YouTubeDNN": YouTubeDNN,
    "SASRec": lambda: Transformed(causal=True),
    "BERT4Rec": lambda: Transformed(causal=False),
    "GRU4Rec": GRU4Rec,
    "NARM": NARM,
    "STAMP": STAMP,
    "Caser": Caser,
    "MIND": MIND,
    "ComiRec": ComiRec,
    "SINE": SINE,
    "item2vec": Item2vec,
    "LightGCN": LightGCN,
    "EASE": EASE,
    "MultVAE": MultVAE,
}
