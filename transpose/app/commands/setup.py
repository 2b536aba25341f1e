"""`transpose setup`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro


@dataclass(frozen=True)
class Setup:
    """Set up a data set as a scene folder."""

    dataset: tyro.conf.Positional[
        Literal[
            "7scenes",
            "12scenes",
            "cambridge",
            "epfl",
            "comballaz",
            "colmap",
            "nerfstudio",
            "photos",
            "reconstruct",
            "tum",
            "stray",
            "polycam",
            "record3d",
            "arkit",
            "video",
            "swiss",
        ]
    ]
    """What to set up. photos: images/ and poses.json; reconstruct: photos alone, whose poses are found; tum: rgb.txt,
    depth.txt and groundtruth.txt; stray, polycam, record3d, arkit: recordings of phone apps; video: a film alone, poses
    are found; swiss: a world of swisstopo's tiles."""
    out: Path
    """The scene folder; sections are added to it. swiss: a folder for tiles and the world."""
    source: Path | None = None
    """The data set as it was published. swiss: swisstopo's lists of addresses, instead of its catalogue."""
    poses: Path | None = None
    """7scenes: SfM pseudo ground truth that replaces the shipped poses, lines of `frame qw qx qy qz tx ty tz
    [focal]`. tum: poses in the place of groundtruth.txt, lines of `timestamp tx ty tz qx qy qz qw`."""
    section: str | None = None
    """Set up only this section, under this name. Not of epfl, comballaz and swiss."""
    list_file: Annotated[Path | None, tyro.conf.arg(name="list")] = None
    """The frames of --section, one `stem` or `seq-XX/stem` a line."""
    images: Path | None = None
    """colmap, nerfstudio: the folder of the photos, where it is not images/, input/, rgb/ or the like."""
    world: Path | None = None
    """photos: the world into whose frame the poses are brought."""
    area: Literal["epfl", "comballaz", "demo"] | None = None
    """swiss: which of CrossLoc's areas."""
    margin: float | None = None
    """swiss: metres of land around the area; 1000 by default."""
    download: bool = False
    """7scenes, 12scenes, cambridge: fetch it into --source first. swiss: fetch the tiles and build the world; without
    it, only list them."""
    copy: bool = False
    """epfl, comballaz: files that sections share are copied, not linked."""
    only: tuple[str, ...] = ()
    """With --download: only these archives, such as redkitchen, apt1 or KingsCollege."""
    accept_licence: bool = False
    """With --download: the publisher's licence is accepted; without it, it is shown."""
    metric: bool = False
    """colmap, nerfstudio: poses are in metres. Else lengths are told in per cent of the cameras' extent."""
    metres_per_unit: Annotated[float | None, tyro.conf.arg(name="unit")] = None
    """colmap, nerfstudio: metres that one unit of the poses is; everything is multiplied by it."""
    focal_px: Annotated[float | None, tyro.conf.arg(name="focal")] = None
    """reconstruct, video: the focal length of all photos in pixels, which is kept; else EXIF's, or it is estimated."""
    scale_from: tuple[str, str, float] | None = None
    """reconstruct, video: two photos and the metres between their cameras; else the scale is that of GPS tags, or
    unknown."""
    seed: int | None = None
    """reconstruct, video: of the searches; same seed, same poses."""
    camera: str | None = None
    """tum: fr1, fr2 or fr3, or a file that describes the colour camera; by default, by the name of the folder."""
    depth_steps_per_m: Annotated[float | None, tyro.conf.arg(name="depth-scale")] = None
    """tum: steps of depth images that make a metre; 5000 by default, of freiburg1 5000 / 1.035."""
    tolerance_s: Annotated[float | None, tyro.conf.arg(name="tolerance")] = None
    """tum: seconds that depth, and the nearest pose, may be away from a colour image; 0.02 by default."""
    delay_s: Annotated[float | Literal["auto"] | None, tyro.conf.arg(name="delay")] = None
    """tum: seconds by which poses are stamped later than images of the same moment, which is taken back; auto: as
    keypoints that images share tell it. 0 by default."""
    every: int | None = None
    """stray, polycam, record3d, arkit: each so manieth frame; by default those between which the camera moved 5 cm or
    turned 5 degrees, of polycam all. video: each so manieth image; by default the sharpest of each stretch."""

    def run(self) -> None:
        """Sets up and names the sections, or lists tiles."""
        from transpose.app.services.setting_up import run_setup
        from transpose.scenes.setup.request import SetupRequest

        run_setup(
            SetupRequest(
                self.dataset,
                self.out,
                self.source,
                self.poses,
                self.section,
                self.list_file,
                self.images,
                self.world,
                self.area,
                self.margin,
                self.download,
                self.copy,
                self.only,
                self.accept_licence,
                self.metric,
                self.metres_per_unit,
                self.focal_px,
                self.scale_from,
                self.seed,
                self.camera,
                self.depth_steps_per_m,
                self.tolerance_s,
                self.delay_s,
                self.every,
            )
        )
