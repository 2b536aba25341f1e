"""The contrastive loss of patches: what shows one place before and after is to be alike (Park et al., ECCV 2020)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

TEMPERATURE = 0.07


def patch_nce(query_bpc: Tensor, key_bpc: Tensor, temperature: float = TEMPERATURE) -> Tensor:
    """Cross-entropy of finding each place's key among the keys of all places of the same image: (b,).

    The keys get no gradient: what came in is not to become like what is made of it.

    Args:
        query_bpc: unit vectors of places of the images that were made.
        key_bpc: of the same places of the images that they were made from.
        temperature: of the similarities.
    """
    logits_bpp = query_bpc @ key_bpc.detach().mT / temperature
    b, p, _ = logits_bpp.shape
    own_bp = torch.arange(p, device=logits_bpp.device).expand(b, p)
    return F.cross_entropy(logits_bpp.mT, own_bp, reduction="none").mean(1)
