"""What networks learn from that state poses outright: images and their poses, alone or in groups of neighbours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from transpose.geometry.poses import rotation_error_deg
from transpose.localization.pose_regression import PoseStandard
from transpose.losses.pose import steps_between, weighted_l1
from transpose.models.atloc import AtLoc
from transpose.models.precision import autocast
from transpose.randomness import derived_seed, stream
from transpose.scenes.augment import AugmentOptions
from transpose.scenes.resizing import cut_square
from transpose.selection import evenly_chosen
from transpose.training.context import TrainingContext
from transpose.training.draws import Replayed, Turns, batch_part
from transpose.training.look_ahead import LookAhead
from transpose.training.ranks import Ranks
from transpose.training.sources import Source
from transpose.training.views import TrainingFrame, training_view

_VALIDATED = 24


class OverPoses(nn.Module):
    """A network on images, whose poses are learned, and the scales of its loss beside each: (b, 6 + 4).

    So all weights take part in the output, as training by several processes asks for.
    """

    def __init__(self, network: AtLoc) -> None:
        super().__init__()
        self.network = network

    def forward(self, image_b3hw: Tensor) -> Tensor:
        """See the class."""
        pose_b6 = self.network(image_b3hw)
        return torch.cat([pose_b6.float(), self.network.log_scales_4.expand(len(pose_b6), -1)], 1)


@dataclass(frozen=True)
class PoseObjective:
    """AtLoc's loss; with groups of several frames AtLoc+'s, which holds the steps between them against the true ones.

    Attributes:
        frames: of a group.
        standard: of the poses.
        apart: steps count with their own group, and not with the whole batch, so that groups can be weighed.
    """

    frames: int
    standard: PoseStandard
    apart: bool = False

    def __call__(self, raw_nk: Tensor, pose_n6: Tensor, step: int) -> tuple[Tensor, dict[str, Tensor]]:
        """See `Objective`."""
        error_n6, scales_4 = raw_nk[:, :6] - pose_n6, raw_nk[0, 6:]
        loss_n = weighted_l1(error_n6, scales_4[:2])
        if self.frames > 1:  # a step's error is the step of the errors
            step_loss_m = weighted_l1(steps_between(error_n6, self.frames), scales_4[2:])
            loss_n = loss_n + (self._of_images(step_loss_m) if self.apart else step_loss_m.mean())
        std_3 = torch.from_numpy(self.standard.std_3).to(error_n6)
        return loss_n, {"train_median_m": (error_n6[:, :3].detach() * std_3).norm(dim=1).median()}

    def _of_images(self, step_loss_m: Tensor) -> Tensor:
        """The mean loss of the steps of each image's group."""
        return step_loss_m.unflatten(0, (-1, self.frames - 1)).mean(1).repeat_interleave(self.frames)


class PoseSource(Source):
    """Groups of frames of one section; each frame has a group of its own, and all have a turn before any comes again.

    Args:
        frames: of the training.
        standard: of their poses.
        group: frames of a group, `skip` apart in their section's order; fewer apart where a section is short.
        batch_size: images a step over all processes, a multiple of `group`.
        augment: of the views; the poses follow.
        side: of the squares that are cut at random places.
    """

    def __init__(
        self,
        frames: Sequence[TrainingFrame],
        standard: PoseStandard,
        *,
        group: int,
        skip: int,
        batch_size: int,
        augment: AugmentOptions | None,
        side: int,
        seed: int,
        device: torch.device,
        ranks: Ranks,
        replay: Replayed | None = None,
    ) -> None:
        self._frames, self._standard, self._augment, self._side = frames, standard, augment, side
        self._groups = groups_of(frames, group, skip)
        self._batch_groups, self._seed, self._device, self._ranks = batch_size // group, seed, device, ranks
        self._turns = replay or Turns(len(self._groups), seed)
        self._views = LookAhead(self._view)

    def batch(self, step: int, part: int, parts: int) -> tuple[Tensor, Tensor]:
        """See `Source`: images (b, 3, side, side) in 0..255, and their poses (b, 6) as the network states them."""
        views = self._views.take(
            step * parts + part, lambda index: self._places(*divmod(index, parts), parts), self._turns.ahead * parts
        )
        images, poses = (np.concatenate(each) for each in zip(*views, strict=True))
        image_b3hw = torch.from_numpy(images).to(self._device).permute(0, 3, 1, 2).float()
        return image_b3hw, torch.from_numpy(poses).to(self._device).float()

    def close(self) -> None:
        """See `Source`."""
        self._views.close()

    def _places(self, step: int, part: int, parts: int) -> list[int]:
        """Of the endless sequence of groups, this rank's of a part of a batch."""
        groups = torch.arange(step * self._batch_groups, (step + 1) * self._batch_groups)
        mine: list[int] = self._ranks.shard(batch_part(groups, part, parts)).tolist()
        return mine

    def _view(self, place: int) -> tuple[np.ndarray, np.ndarray]:
        """Images (f, side, side, 3) and poses (f, 6) of a group."""
        rng = np.random.default_rng(derived_seed(self._seed, "view", str(place)))
        images, poses = [], []
        for frame in self._groups[self._turns.item(place)]:
            seen = training_view(self._frames, frame, rng, self._augment)
            at = (float(rng.uniform()), float(rng.uniform()))
            images.append(cut_square(seen.image_hw3, self._side, at))
            poses.append(seen.pose.T_wc)
        return np.stack(images), self._standard.outputs(np.stack(poses))


def groups_of(frames: Sequence[TrainingFrame], group: int, skip: int) -> list[list[int]]:
    """For each frame so many of its section with it among them, in the middle where that has room, `skip` apart.

    Of a section that is too short for that they are less far apart; one with fewer frames than a group repeats some.
    """
    section = [str(each.frame.paths["rgb"].parent) for each in frames]
    starts = [i for i in range(len(frames)) if i == 0 or section[i] != section[i - 1]]
    found = []
    for first, end in zip(starts, [*starts[1:], len(frames)], strict=True):
        apart = min(skip, max(1, (end - first + 1) // (group + 1)))  # then each frame has a place in some group
        for frame in range(first, end):
            before = max(group // 2, group - 1 - (end - 1 - frame) // apart)
            before = min(before, (frame - first) // apart)
            places = frame + apart * (np.arange(group) - before)
            found.append(places.clip(first, end - 1).tolist())
    return found


@dataclass(frozen=True, eq=False)
class PoseValidation:
    """Median errors of the poses that a network states of frames kept out of training."""

    network: AtLoc
    standard: PoseStandard
    images_n3hw: Tensor
    T_n44: np.ndarray
    device: torch.device
    dtype: torch.dtype

    @classmethod
    def of(cls, network: AtLoc, standard: PoseStandard, context: TrainingContext, seed: int) -> PoseValidation:
        """Some frames, evenly spread; their images are read once."""
        side, frames = network.config.side, context.validation
        chosen = evenly_chosen(len(frames), _VALIDATED)
        seen = [training_view(frames, i, stream(seed, "validation", str(i)), None) for i in chosen]
        images = [cut_square(each.image_hw3, side) for each in seen]
        T_n44 = np.stack([each.pose.T_wc for each in seen])
        image_n3hw = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)
        return cls(network, standard, image_n3hw, T_n44, context.device, context.dtype)

    @torch.no_grad()
    def __call__(self) -> dict[str, float]:
        """See the class."""
        training = self.network.training
        self.network.eval()
        stated = []
        for image_b3hw in self.images_n3hw.split(8):
            with autocast(self.device, self.dtype):
                stated.append(self.network(image_b3hw.to(self.device).float()).float())
        self.network.train(training)
        found_n44 = self.standard.poses(torch.cat(stated).cpu().double().numpy())
        metres = np.linalg.norm(found_n44[:, :3, 3] - self.T_n44[:, :3, 3], axis=1)
        degrees = [rotation_error_deg(a[:3, :3], b[:3, :3]) for a, b in zip(found_n44, self.T_n44, strict=True)]
        return {"val_median_m": float(np.median(metres)), "val_median_deg": float(np.median(degrees))}
