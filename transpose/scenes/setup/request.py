"""What is asked of a set-up, and the words in which a person asks it."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal

from transpose.errors import TransposeError


@dataclass(frozen=True)
class SetupRequest:
    """What is asked of a set-up; what is left out is None, False or empty.

    Attributes:
        dataset: a key of `registry.SET_UP`.
        out: the scene folder; sections are added to it. Of `swiss` a folder for tiles and the world.
        source: the data set as it was published. Of `swiss` lists of addresses, instead of the catalogue.
        poses: SfM pseudo ground truth that replaces the shipped poses.
        section: only this section, under this name.
        list_file: the frames of the section.
        images: the folder of the photos, where a project has them in an unusual place.
        world: the world into whose frame poses are brought.
        area: one of CrossLoc's areas.
        margin_m: metres of land around the area.
        download: fetch what is published into `source` first, or Swiss tiles.
        copy: files that sections share are copied, not linked.
        only: archives to fetch; all where empty.
        accept_licence: the publisher's licence is accepted.
        metric: the unit of the poses is the metre.
        metres_per_unit: or so many metres.
        focal_px: the focal length of photos without poses.
        scale_from: two of these photos and the metres between their cameras.
        seed: of the search for their poses.
        camera: the colour camera of a recording, by a name that the data set knows or as a file.
        depth_steps_per_m: steps of its depth images that make a metre.
        tolerance_s: seconds that what belongs together may be apart.
        delay_s: seconds by which poses are stamped later than images of the same moment; "auto": as images tell it.
        every: each so manieth frame of a recording.
    """

    dataset: str
    out: Path
    source: Path | None = None
    poses: Path | None = None
    section: str | None = None
    list_file: Path | None = None
    images: Path | None = None
    world: Path | None = None
    area: str | None = None
    margin_m: float | None = None
    download: bool = False
    copy: bool = False
    only: tuple[str, ...] = ()
    accept_licence: bool = False
    metric: bool = False
    metres_per_unit: float | None = None
    focal_px: float | None = None
    scale_from: tuple[str, str, float] | None = None
    seed: int | None = None
    camera: str | None = None
    depth_steps_per_m: float | None = None
    tolerance_s: float | None = None
    delay_s: float | Literal["auto"] | None = None
    every: int | None = None

    @property
    def unit_m(self) -> float | None:
        """How many metres the unit of the poses is; None: nobody says.

        Raises:
            TransposeError: it is no length, or said twice.
        """
        if self.metres_per_unit is None:
            return 1.0 if self.metric else None
        if self.metric:
            raise TransposeError("--metric says that the unit is the metre, --unit what else it is; give one of them")
        if not 0 < self.metres_per_unit < math.inf:
            raise TransposeError(f"--unit is how many metres a unit is, not {self.metres_per_unit}")
        return self.metres_per_unit

    @property
    def given(self) -> list[str]:
        """The names of the options that say something."""
        said = {name: getattr(self, name) for name in FLAGS}
        return [name for name, value in said.items() if value is not None and value is not False and value != ()]

    @property
    def read_from(self) -> Path:
        """The source of a data set that needs one."""
        assert self.source is not None, "set_up asks for it"
        return self.source


# The options as a person writes them, and what they say.
FLAGS = {
    "source": ("--source", "the data set as it was published"),
    "poses": ("--poses", "a file of poses"),
    "section": ("--section", "the name of the section"),
    "list_file": ("--list", "the frames of the section"),
    "images": ("--images", "the folder of the photos"),
    "world": ("--world", "the world in whose frame the poses are wanted"),
    "area": ("--area", "epfl, comballaz or demo"),
    "margin_m": ("--margin", "metres around the area"),
    "download": ("--download", "that it is to be fetched"),
    "copy": ("--copy", "that files are to be copied"),
    "only": ("--only", "names of archives"),
    "accept_licence": ("--accept-licence", "that you accept the licence"),
    "metric": ("--metric", "that the unit of the poses is the metre"),
    "metres_per_unit": ("--unit", "metres that the unit of the poses is"),
    "focal_px": ("--focal", "a focal length in pixels"),
    "scale_from": ("--scale-from", "two photos and the metres between their cameras"),
    "seed": ("--seed", "of the searches"),
    "camera": ("--camera", "the colour camera"),
    "depth_steps_per_m": ("--depth-scale", "steps of depth that make a metre"),
    "tolerance_s": ("--tolerance", "seconds that belong together"),
    "delay_s": ("--delay", "seconds that poses are late"),
    "every": ("--every", "how many frames make one step"),
}
assert {"dataset", "out", *FLAGS} == {field.name for field in fields(SetupRequest)}
