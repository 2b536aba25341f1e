"""What changes while the `fast` recipe learns, and how it goes to disk and comes back."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

import transpose
from transpose.geometry.cameras import Camera
from transpose.models.heads import CoordinateHead
from transpose.randomness import stream, torch_stream
from transpose.training.buffer import FeatureBuffer
from transpose.training.config import FastConfig


@dataclass
class Learner:
    """What changes during training."""

    head: CoordinateHead
    optimizer: torch.optim.Optimizer
    schedule: torch.optim.lr_scheduler.LRScheduler
    generator: torch.Generator
    step: int = 0
    seconds: float = 0.0


def new_learner(config: FastConfig, buffer: FeatureBuffer, device: torch.device) -> Learner:
    """A head with its normalisation taken from the buffer, an optimizer and a one-cycle schedule."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(stream(config.seed, "head").integers(2**63)))
        head = CoordinateHead(config.head)
    sample = torch.from_numpy(stream(config.seed, "statistics").permutation(len(buffer))[:100_000])
    kmeans_seed = int(stream(config.seed, "anchors").integers(2**31))
    head.fit_statistics(buffer.features_nc[sample], buffer.coordinates_n3[sample], kmeans_seed)
    head.to(device)
    optimizer = torch.optim.AdamW(head.parameters(), config.learning_rate, weight_decay=config.weight_decay, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, config.learning_rate, total_steps=config.steps, pct_start=0.1, cycle_momentum=False
    )
    return Learner(head, optimizer, schedule, torch_stream(config.seed, "batches"))


def learner_state(learner: Learner, config: FastConfig) -> dict[str, Any]:
    """What resuming needs."""
    return {
        "config": dataclasses.asdict(config),
        "head": learner.head.state_dict(),
        "optimizer": learner.optimizer.state_dict(),
        "schedule": learner.schedule.state_dict(),
        "generator": learner.generator.get_state(),
        "step": learner.step,
        "seconds": learner.seconds,
    }


def restore(learner: Learner, state: dict[str, Any]) -> None:
    """Puts a learner back to where `learner_state` was taken."""
    learner.head.load_state_dict(state["head"])
    learner.optimizer.load_state_dict(state["optimizer"])
    learner.schedule.load_state_dict(state["schedule"])
    learner.generator.set_state(state["generator"])
    learner.step, learner.seconds = state["step"], state["seconds"]


def checkpoint(
    learner: Learner, config: FastConfig, camera: Camera, facts: dict[str, Any], done: bool
) -> dict[str, Any]:
    """The self-describing content of `model.pt`; `facts` are what it should remember of its data."""
    return {
        "kind": "scene_coordinates",
        "encoder": "xfeat",
        "preset": "fast",
        "code_version": transpose.__version__,
        "config": dataclasses.asdict(config),
        "head": {name: _compact(name, value) for name, value in learner.head.state_dict().items()},
        "camera": dataclasses.asdict(camera),
        "steps_done": learner.step,
        "complete": done,
        "train_seconds": learner.seconds,
        **facts,
    }


def _compact(name: str, value: Tensor) -> Tensor:
    """Hidden weights go to disk as float16, whose three digits are one more than bfloat16 arithmetic uses."""
    value = value.detach().cpu()
    return value.half() if name.startswith("body.") else value
