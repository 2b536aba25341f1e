"""`transpose undistort`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import tyro

if TYPE_CHECKING:
    from transpose.geometry.cameras import Camera
    from transpose.geometry.lens import Lens

# The drone of CrossLoc's real photos (TOPO-DataGen): DJI Phantom 4 RTK at 5472 x 3648.
_CROSSLOC = (3646.75, 3646.75, 2736 - 18.3, 1824 + 17.4, -0.265, 0.105, 0.00019, 0.00055, -0.028)


@dataclass(frozen=True)
class Undistort:
    """Bring photos to a pinhole camera: distortion removed, resized to cover, cropped in the middle."""

    images: tyro.conf.Positional[tuple[Path, ...]]
    """Photos, or folders of them."""
    out: Path
    """Folder for rgb/ and calibration/; each photo keeps its name."""
    model: Literal["SIMPLE_PINHOLE", "PINHOLE", "SIMPLE_RADIAL", "RADIAL", "OPENCV", "FULL_OPENCV"] | None = None
    """COLMAP's camera model of the lens; --parameters has its numbers."""
    parameters: tuple[float, ...] = ()
    """Of the lens, in the model's order; principal point in continuous pixels (add 0.5 to OpenCV's)."""
    crossloc_drone: bool = False
    """The lens of CrossLoc's real photos, 5472 x 3648."""
    focal: float | None = None
    """Focal length in pixels of a lens without distortion; what EXIF says where neither is given."""
    lens_size: tuple[int, int] | None = None
    """Width and height that the parameters are for; the photos' own by default."""
    size: tuple[int, int] | None = None
    """Width and height that come out; the photo's own by default."""
    like: Path | None = None
    """SCENE/SECTION whose image size and intrinsics come out."""

    def run(self) -> None:
        """Undistorts; photos that are done already are skipped."""
        from transpose.app.console import progress, say
        from transpose.errors import TransposeError

        paths = self._paths()
        if sum(map(bool, (self.model, self.crossloc_drone, self.focal))) > 1:
            raise TransposeError("--model, --crossloc-drone and --focal each describe the lens; give one")
        if len({path.stem for path in paths}) < len(paths):
            raise TransposeError("two photos have one name; undistort them into different folders")
        for folder in ("rgb", "calibration"):
            (self.out / folder).mkdir(parents=True, exist_ok=True)
        target = self._target()
        for path in progress(paths, "undistorting"):
            if not (self.out / "calibration" / f"{path.stem}.txt").exists():
                self._one(path, target)
        say(str(self.out))

    def _paths(self) -> list[Path]:
        from transpose.errors import TransposeError

        paths = []
        for given in self.images:
            if given.is_dir():
                paths += sorted(p for p in given.iterdir() if p.suffix.lower() in (".jpg", ".jpeg", ".png"))
            elif given.is_file():
                paths.append(given)
            else:
                raise TransposeError(f"{given} does not exist")
        if not paths:
            raise TransposeError(f"no photos (.jpg or .png) in {', '.join(map(str, self.images))}")
        return paths

    def _target(self) -> Camera | None:
        from dataclasses import replace

        from transpose.scenes.layout import open_section

        if self.like is None:
            return None
        return replace(open_section(self.like).frames[0].camera, k1=0.0, k2=0.0)

    def _one(self, path: Path, target: Camera | None) -> None:
        from transpose.errors import TransposeError
        from transpose.geometry.lens import pinhole_for
        from transpose.scenes import files
        from transpose.scenes.undistort import undistorted

        image_hw3 = files.read_image(path)
        lens = self._lens(path, image_hw3.shape[1], image_hw3.shape[0])
        try:
            camera = target or pinhole_for(lens.resized(image_hw3.shape[1], image_hw3.shape[0]), *(self.size or ()))
        except ValueError as error:
            raise TransposeError(f"{path}: {error}") from None
        try:
            seen_hw3 = undistorted(image_hw3, lens, camera)
        except TransposeError as error:
            raise TransposeError(f"{path}: {error}") from None
        quality = None if path.suffix.lower() == ".png" else 95
        files.write_image(self.out / "rgb" / f"{path.stem}{'.png' if quality is None else '.jpg'}", seen_hw3, quality)
        files.write_camera(self.out / "calibration" / f"{path.stem}.txt", camera)

    def _lens(self, path: Path, width: int, height: int) -> Lens:
        from transpose.errors import TransposeError
        from transpose.geometry.lens import Lens
        from transpose.localization.photo import focal_from_exif

        if self.crossloc_drone:
            return Lens(5472, 3648, *_CROSSLOC)
        try:
            if self.model:
                return Lens.from_model(self.model, self.parameters, *(self.lens_size or (width, height)))
            focal_px = self.focal or focal_from_exif(path)
            if focal_px is None:
                raise TransposeError(
                    f"{path} has no focal length in its EXIF; give --model and --parameters or --focal"
                )
            size = self.lens_size or (width, height)
            return Lens(*size, focal_px, focal_px, size[0] / 2, size[1] / 2)
        except ValueError as error:
            raise TransposeError(str(error)) from None
