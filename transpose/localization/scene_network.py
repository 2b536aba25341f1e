"""A run's network, loaded: from an image to its encoder's maps, and from those to world points of the cells."""

from __future__ import annotations

import numpy as np
import torch

from transpose.errors import TransposeError
from transpose.geometry.cameras import Camera
from transpose.localization.coordinate_map import CoordinateMap
from transpose.localization.task_maps import TaskMaps
from transpose.losses.uncertainty import PredictedUncertainty
from transpose.models.keypoints import Keypoints, features_at
from transpose.models.network import ImageMaps
from transpose.models.networks import build_network, load_network_state
from transpose.models.precision import autocast
from transpose.models.recognition import Recognition, Recognized
from transpose.models.tasks import MultiTaskHead
from transpose.runs import Checkpoint


class SceneNetwork:
    """The network that a checkpoint describes.

    Args:
        checkpoint: of a run.
        device: where it runs.
        dtype: of the hidden layers.

    Raises:
        TransposeError: the checkpoint has no network, or weights that do not fit it.
    """

    def __init__(self, checkpoint: Checkpoint, device: torch.device, dtype: torch.dtype) -> None:
        if checkpoint.network is None:
            raise TransposeError(f"a run of kind {checkpoint.kind!r} has no network that predicts coordinates")
        self._module = build_network(checkpoint.network.name, checkpoint.network.config)
        try:
            load_network_state(self._module, checkpoint.network.weights)
        except RuntimeError as error:
            raise TransposeError(f"the model's weights do not fit its configuration ({error})") from None
        self._module.to(device).eval()
        self._origin_3 = checkpoint.origin_3
        self._uncertainty = PredictedUncertainty.from_state(
            checkpoint.network.uncertainty, checkpoint.calibration.temperature
        )
        self._device, self._dtype = device, dtype

    @property
    def tasks(self) -> tuple[str, ...]:
        """What it predicts beside coordinates."""
        head = self._module.head
        return head.tasks if isinstance(head, MultiTaskHead) else ()

    @property
    def has_keypoints(self) -> bool:
        """Whether the maps of its encoder say where keypoints are."""
        return self._module.encoder.has_keypoints

    @torch.inference_mode()
    def maps(self, image_hw3: np.ndarray) -> ImageMaps:
        """The encoder's output for an RGB uint8 image, a batch of one."""
        # PyTorch warns of arrays that it may not write to.
        image = torch.from_numpy(np.require(image_hw3, requirements=["C", "W"])).to(self._device)
        with autocast(self._device, self._dtype):
            return self._module.encoder.maps(image.permute(2, 0, 1)[None].float())

    @torch.inference_mode()
    def coordinates(self, maps: ImageMaps, camera: Camera) -> CoordinateMap:
        """World points of the cells of one image.

        Args:
            maps: of `maps`.
            camera: of that image.
        """
        with autocast(self._device, self._dtype):
            out_khw = self._module.head(maps.features_bchw)[0]
        out_hwk = out_khw.permute(1, 2, 0).cpu().double().numpy()
        return CoordinateMap(out_hwk[..., :3] + self._origin_3, out_hwk[..., 3:], self._uncertainty, camera)

    @property
    def recognizes(self) -> bool:
        """Whether it recognizes map points at keypoints."""
        return self._recognition is not None

    @torch.inference_mode()
    def recognized(self, maps: ImageMaps, keypoints: Keypoints) -> Recognized:
        """The map points that keypoints of an image show; none where it recognizes none.

        Args:
            maps: of `maps`.
            keypoints: of those maps.
        """
        if self._recognition is None:
            return Recognized(torch.zeros(0, 3), torch.zeros(0))
        with autocast(self._device, self._dtype):
            return self._recognition.recognized(features_at(maps, keypoints.px_n2))

    @property
    def _recognition(self) -> Recognition | None:
        recognition = self._module.recognition
        return recognition if isinstance(recognition, Recognition) else None

    @torch.inference_mode()
    def task_maps(self, maps: ImageMaps, camera: Camera) -> TaskMaps:
        """Depth, normals and classes of the cells of one image, of what it learned; see `coordinates`."""
        head = self._module.head
        if not isinstance(head, MultiTaskHead):
            return TaskMaps(camera)
        with autocast(self._device, self._dtype):
            outputs = head.task_outputs(maps.features_bchw)
        return TaskMaps.of({task: out_bkhw[0] for task, out_bkhw in outputs.items()}, camera)
