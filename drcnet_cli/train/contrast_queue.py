"""Momentum contrast for degradations (AirNet eq. 3; He et al. 2020, "Momentum Contrast").

Two crops of one degraded picture are alike, those of other pictures are not: a slowly following
copy of the encoder embeds the second crop, and a queue keeps what it said of the pictures before.
"""

import copy
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

TEMPERATURE = 0.07
MOMENTUM = 0.999


def info_nce(query: Tensor, key: Tensor, queue: Tensor, temperature: float = TEMPERATURE) -> Tensor:
    """Return the mean cross-entropy of each query's own key among that key and the queue.

    `query`, `key`: N x C, `queue`: K x C, all of length 1. Equation 3 prints negatives alone under
    the fraction; with the positive among them, as the sum from 0 means, it is this.
    """
    query, key, queue = query.float(), key.float(), queue.float()
    with torch.autocast(query.device.type, enabled=False):
        own = (query * key).sum(1, keepdim=True)
        scores = torch.cat([own, query @ queue.T], dim=1) / temperature
    return F.cross_entropy(scores, torch.zeros(len(query), dtype=torch.long, device=query.device))


class MomentumContrast(nn.Module):
    """The key encoder and the queue; all of its state is in `state_dict`, for resuming a run.

    `encoder`: the query encoder; called with pictures it returns (anything, embeddings N x C).
    `length`: keys in the queue, which starts out with random ones, drawn by `seed`. `gather` brings
    together the keys of all processes, so that their queues stay alike.
    """

    queue: Tensor
    pointer: Tensor

    def __init__(
        self,
        encoder: nn.Module,
        channels: int,
        length: int,
        *,
        seed: int = 0,
        temperature: float = TEMPERATURE,
        momentum: float = MOMENTUM,
        gather: Callable[[Tensor], Tensor] = lambda keys: keys,
    ) -> None:
        super().__init__()
        self.key_encoder = copy.deepcopy(encoder).requires_grad_(False)
        self._temperature, self._momentum, self._gather = temperature, momentum, gather
        generator = torch.Generator().manual_seed(seed)
        device = next(encoder.parameters()).device
        keys = F.normalize(torch.randn(length, channels, generator=generator), dim=1)
        self.register_buffer("queue", keys.to(device))
        self.register_buffer("pointer", torch.zeros((), dtype=torch.long, device=device))

    @torch.no_grad()
    def follow(self, encoder: nn.Module) -> None:
        """Move the key encoder's weights towards the query encoder's; once a step.

        Its running statistics are its own, of the crops that it sees.
        """
        weights = [weight.data for weight in encoder.parameters()]
        following = [weight.data for weight in self.key_encoder.parameters()]
        torch._foreach_lerp_(following, weights, 1 - self._momentum)  # pyright: ignore

    def forward(self, embedding: Tensor, other_crops: Tensor) -> Tensor:
        """Return the loss of embeddings (N x C) of crops whose pictures' other crops are given.

        `other_crops` is N x 3 x H x W, item by item of the same pictures. Their keys then take the
        places of the oldest in the queue, so one call a step.
        """
        query = F.normalize(embedding.float(), dim=1)
        with torch.no_grad():
            keys = F.normalize(self.key_encoder(other_crops)[1].float(), dim=1)
        loss = info_nce(query, keys, self.queue.clone(), self._temperature)
        self._take_in(self._gather(keys))
        return loss

    @torch.no_grad()
    def _take_in(self, keys: Tensor) -> None:
        length = len(self.queue)
        keys = keys[-length:]
        places = (self.pointer + torch.arange(len(keys), device=keys.device)) % length
        self.queue.index_copy_(0, places, keys)
        self.pointer.copy_((self.pointer + len(keys)) % length)
