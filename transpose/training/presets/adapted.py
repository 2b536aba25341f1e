"""An adapter trained with the scene, between the pass of its views and what is learned from them."""

from __future__ import annotations

import logging

import torch

from transpose.models.adapter import AdaptedEncoder, Adapter
from transpose.models.network import Network
from transpose.training.adapting import (
    AdapterTraining,
    Places,
    adapted_rows,
    fit_statistics,
    train_adapter,
    with_adapted_descriptors,
)
from transpose.training.buffer import CellBuffer, Filled, Filling
from transpose.training.config import TrainingConfig
from transpose.training.context import TrainingContext
from transpose.training.presets.parts import filled_from

log = logging.getLogger(__name__)


def filled_and_adapted(
    network: Network, filling: Filling, context: TrainingContext, config: TrainingConfig, shorter: str
) -> Filled:
    """As `filled_from`, with the features of an adapter that is trained on the keypoints of those views.

    Args:
        network: with an adapted encoder, whose adapter is trained in place.
        filling: with features of keypoints.
        context: frames and device.
        config: of the steps that follow.
        shorter: what would make the views fewer or faster.

    Raises:
        TransposeError: the views see next to nothing twice.
    """
    assert isinstance(network.encoder, AdaptedEncoder)
    plain = Network(network.encoder.base, network.head, frozen=True)
    filled = filled_from(plain, filling, context, config, shorter)
    training = AdapterTraining()
    places = Places.of(filled.observations, training)
    adapter = network.encoder.adapter
    if not bool(adapter.last.weight.any()):  # a trained one brings its statistics
        fit_statistics(adapter, [places], config.seed)
    log.info("the adapter learns before that, %d steps of %d pairs of keypoints", training.steps, training.batch)
    loss = train_adapter(adapter, [places], training, config.seed, context.device, context.dtype)
    # All processes go on with one adapter, whatever their devices' rounding.
    adapter.load_state_dict(
        context.ranks.gathered({name: value.cpu() for name, value in adapter.state_dict().items()})[0]
    )
    log.info("adapter trained on %d keypoints that two views share (loss %.3f)", len(places.anchors_a), loss)
    _adapt_cells(filled.cells, adapter, context.device)
    return Filled(filled.cells, with_adapted_descriptors(adapter, filled.observations, context.device))


def _adapt_cells(cells: CellBuffer, adapter: Adapter, device: torch.device) -> None:
    """Puts adapted descriptors in place of those in the buffer, whose other features stay."""
    width = adapter.config.descriptor_channels
    cells.features_nc[:, :width] = adapted_rows(adapter, cells.features_nc, device).to(cells.features_nc.dtype)
