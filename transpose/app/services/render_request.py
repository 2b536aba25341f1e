"""Which views of a world are wanted, and of which camera."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from transpose.geometry.cameras import Camera

_FOCAL_WIDTHS = 525 / 640  # where nobody says any: 63 degrees wide


@dataclass(frozen=True)
class RenderRequest:
    """Which views of which world are wanted, in the words of `transpose render`, whose flags these fields are."""

    world: Path
    """The world's folder."""
    out: Path
    """SCENE/SECTION to write."""
    views: int = 960
    """How many views; with at: as many as that section has frames, with flight:FILE as the file has poses."""
    viewpoints: str = "lhs"
    """lhs: Latin hypercube over the ranges below; walk: random walks within them; inside: where people stand in rooms,
    under ceilings, --above metres over the floor; flight: a drone's way to and fro;
    flight:FILE: one that was flown (TOPO-DataGen's _poses.npy, a CSV table, drone photos or a folder of them);
    near:SCENE/SECTION: offsets around that section's poses, with its cameras; at:SCENE/SECTION: exactly its poses,
    cameras and names."""
    area: Literal["epfl", "comballaz", "demo"] | None = None
    """lhs and walk: one of CrossLoc's areas in degrees; its ranges replace --above, --yaw, --pitch and --roll."""
    geoid: float = 0.0
    """Metres by which ellipsoidal heights (GPS, ECEF, --area epfl) exceed heights of the world there; about 50 in
    Switzerland."""
    pace: tuple[float, float, float] = (30.0, 30.0, 5.0)
    """walk: metres east, north and up that a step goes at most."""
    turn: tuple[float, float, float] = (5.0, 2.0, 1.0)
    """walk: degrees of yaw, pitch and roll that a step turns at most."""
    like: Path | None = None
    """SCENE/SECTION whose image size and intrinsics lhs views take."""
    size: tuple[int, int] = (640, 480)
    """Width and height of lhs views without --like."""
    focal: float | None = None
    """Focal length in pixels of lhs views without --like: that of the photos to come. Without it 525 of a width of 640,
    which says nothing of theirs: that of a photo without EXIF is then estimated from the photo alone."""
    any_camera: bool = False
    """Photos may come from any camera: --focal, or the camera of --like, says nothing of theirs either."""
    distortion: tuple[float, float] = (0.0, 0.0)
    """Radial distortion k1, k2 of lhs views without --like, as OpenCV and COLMAP have it."""
    above: tuple[float, float] = (30.0, 60.0)
    """lhs, flight: metres over the surface below; inside: over the floor."""
    yaw: tuple[float, float] = (0.0, 360.0)
    """lhs: degrees, 0 north, 90 east."""
    pitch: tuple[float, float] = (-90.0, -30.0)
    """lhs: degrees, -90 straight down."""
    roll: tuple[float, float] = (-15.0, 15.0)
    """lhs: degrees."""
    north_up: bool = False
    """lhs, walk and flight, of cameras that look down: turn them by quarters so that the top of the image is nearest to
    north. Localizing turns photos by quarters, so that views as few as a fourth do."""
    margin: float = 0.1
    """lhs and flight: fraction of the world's extent kept free of cameras at each side."""
    offset: float = 0.6
    """near: metres, each way along each axis."""
    offset_angles: tuple[float, float, float] = (25.0, 40.0, 25.0)
    """near: degrees of pitch, yaw and roll, each way."""
    min_seen: float = 0.6
    """Views that show the world in less than this fraction of the image are not rendered."""
    min_depth: float = 0.5
    """Views whose median depth is below this many metres are not rendered."""
    appearance: Literal["plain", "photo"] = "plain"
    """plain: colours as they are in the world; photo: simulated sun, shadow, haze, lens and sensor of a later day."""
    appearance_strength: float = 1.0
    """How far from plain a photo is."""
    appearance_seed: int = 5
    """Which day's light and weather a photo gets; 5 has sun and hard shadows."""
    seed: int = 0
    """Of viewpoints and of the sensor's noise."""
    split: tuple[int, int, int] | None = None
    """Per cent of the views for training, validation and test, such as 40 10 50, drawn at random: SCENE/NAME becomes
    SCENE/train_NAME, val_NAME and test_NAME."""
    cluster: str | None = None
    """Spread the views over a ray cluster: its address, or local for this machine (extra cluster)."""
    processes: int | None = None
    """Rendering processes; as many as --threads by default."""

    @property
    def focal_px(self) -> float:
        """Of views whose camera is no section's."""
        return _FOCAL_WIDTHS * self.size[0] if self.focal is None else self.focal

    def camera(self) -> Camera:
        """Of views whose camera is not that of the section that they are near."""
        from transpose.geometry.cameras import Camera
        from transpose.scenes.layout import open_section

        if self.like:
            return open_section(self.like).frames[0].camera
        k1, k2 = self.distortion
        return dataclasses.replace(Camera.from_focal(self.focal_px, *self.size), k1=k1, k2=k2)

    def camera_assumed(self) -> bool:
        """Whether the camera of the views says nothing of those that photos will come from."""
        from transpose.scenes.facts import read_section_facts

        kind, _, where = self.viewpoints.partition(":")
        of_section = Path(where) if kind in ("near", "at") else self.like
        if of_section is not None:
            return self.any_camera or read_section_facts(of_section).camera_assumed
        return self.any_camera or self.focal is None
