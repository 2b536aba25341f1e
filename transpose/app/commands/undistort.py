"""`transpose undistort`."""

from __future__ import annotations

import glob
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import tyro

if TYPE_CHECKING:
    from transpose.geometry.cameras import Camera
    from transpose.geometry.pinhole_views import PinholeView
    from transpose.geometry.projection import Projection

_JPEG_QUALITY = 95
# The drone of CrossLoc's real photos (TOPO-DataGen): DJI Phantom 4 RTK at 5472 x 3648.
_CROSSLOC = (3646.75, 3646.75, 2736 - 18.3, 1824 + 17.4, -0.265, 0.105, 0.00019, 0.00055, -0.028)
# The keys of `camera_models.MODELS`, which takes time to import.
Model = Literal[
    "SIMPLE_PINHOLE",
    "PINHOLE",
    "SIMPLE_RADIAL",
    "RADIAL",
    "OPENCV",
    "FULL_OPENCV",
    "OPENCV_FISHEYE",
    "SIMPLE_RADIAL_FISHEYE",
    "RADIAL_FISHEYE",
    "THIN_PRISM_FISHEYE",
    "RAD_TAN_THIN_PRISM_FISHEYE",
    "FOV",
    "SIMPLE_DIVISION",
    "DIVISION",
    "SIMPLE_FISHEYE",
    "FISHEYE",
    "EQUIRECTANGULAR",
]


@dataclass(frozen=True)
class Undistort:
    """Bring photos to a pinhole camera: distortion removed, resized to cover, cropped in the middle.

    Photos of a wide fisheye lens and panoramas become several, PHOTO-VIEW; views.json says how each is turned.
    """

    images: tyro.conf.Positional[tuple[Path, ...]]
    """Photos, or folders of them."""
    out: Path
    """Folder for rgb/ and calibration/; each photo keeps its name."""
    camera: Path | None = None
    """File of the lens: JSON with model, width, height and parameters by name, as "camera" in a poses.json; or what
    ROS (camera_info), OpenCV or Kalibr wrote."""
    model: Model | None = None
    """COLMAP's camera model of the lens, or EQUIRECTANGULAR; --parameters has its numbers."""
    parameters: tuple[float, ...] = ()
    """Of the lens, in the model's order; principal point in continuous pixels (add 0.5 to OpenCV's)."""
    crossloc_drone: bool = False
    """The lens of CrossLoc's real photos, 5472 x 3648."""
    focal: float | None = None
    """Focal length in pixels of a lens without distortion; what EXIF says where neither is given."""
    lens_size: tuple[int, int] | None = None
    """Width and height that --parameters or --focal are for; the photos' own by default."""
    size: tuple[int, int] | None = None
    """Width and height that come out; the photo's own by default."""
    like: Path | None = None
    """SCENE/SECTION whose image size and intrinsics come out."""

    def run(self) -> None:
        """Undistorts; photos already undistorted with the same parameters are skipped."""
        from transpose.app.console import progress, say
        from transpose.errors import TransposeError
        from transpose.storage import read_json, write_json

        self._check()
        paths = self._paths()
        by_stem = {path.stem: path for path in paths}
        if twice := next((path for path in paths if by_stem[path.stem] != path or paths.count(path) > 1), None):
            other = by_stem[twice.stem]
            raise TransposeError(
                f"two photos have one name, {twice} and {other}; undistort them into different folders"
            )
        target, known = self._target(), self._known_lens()
        record = self.out / "undistort.json"
        done: dict[str, str] = read_json(record) if record.exists() else {}
        views_file = self.out / "views.json"
        turns: dict[str, Any] = read_json(views_file) if views_file.exists() else {}
        try:
            for path in progress(paths, "undistorting"):
                self._one(path, known, target, done, turns)
        finally:
            if done:
                write_json(record, done)
            if turns or views_file.exists():
                write_json(views_file, turns)
        say(str(self.out))

    def _check(self) -> None:
        from transpose.errors import TransposeError

        if sum(each is not None for each in (self.model, self.camera, self.focal)) + self.crossloc_drone > 1:
            raise TransposeError("--camera, --model, --crossloc-drone and --focal each describe the lens; give one")
        if self.parameters and not self.model:
            raise TransposeError("--parameters needs --model, which says what they are")
        if self.lens_size and not (self.model or self.focal is not None):
            raise TransposeError("--lens-size goes with --model or --focal; the other lenses say their own")
        if self.size and self.like:
            raise TransposeError("--size and --like both say what comes out; give one")
        if min((*(self.size or ()), *(self.lens_size or ()), self.focal if self.focal is not None else 1)) <= 0:
            raise TransposeError("--size, --lens-size and --focal must be positive")

    def _paths(self) -> list[Path]:
        from transpose.app.console import tell
        from transpose.errors import TransposeError
        from transpose.scenes.image_kinds import is_image, left_out

        paths = []
        for given in self.images:
            if given.is_dir():
                there = sorted(given.iterdir())
                paths += [p for p in there if is_image(p)]
                if words := left_out(there):
                    tell(f"{given}: {words}")
            elif given.is_file():
                paths.append(given)
            else:
                raise TransposeError(f"{given} does not exist")
        if not paths:
            raise TransposeError(f"no photos in {', '.join(map(str, self.images))}")
        return paths

    def _target(self) -> Camera | None:
        from dataclasses import replace

        from transpose.scenes.layout import open_section

        if self.like is None:
            return None
        return replace(open_section(self.like).frames[0].camera, k1=0.0, k2=0.0)

    def _known_lens(self) -> Projection | None:
        """The lens where it is one of its own size, whatever the photo."""
        from transpose.errors import TransposeError
        from transpose.geometry.camera_models import projection_of
        from transpose.geometry.lens import Lens
        from transpose.scenes.camera_files import read_camera_file

        if self.crossloc_drone:
            return Lens(5472, 3648, *_CROSSLOC)
        if self.camera is not None:
            return read_camera_file(self.camera)
        if self.model and self.lens_size:
            try:
                return projection_of(self.model, self.parameters, *self.lens_size)
            except ValueError as error:
                raise TransposeError(f"--parameters: {error}") from None
        return None

    def _one(
        self,
        path: Path,
        known: Projection | None,
        target: Camera | None,
        done: dict[str, str],
        turns: dict[str, Any],
    ) -> None:
        """Undistorts one photo, unless `done` says that it was with the same lens and to the same cameras."""
        from transpose.app.console import tell
        from transpose.errors import TransposeError
        from transpose.scenes import files
        from transpose.scenes.undistort import read_photo, shown_fraction, undistorted

        lens = known or self._own_lens(path, *files.image_size(path))
        try:
            views = self._views(path, lens, target)
        except ValueError as error:
            raise TransposeError(f"{path}: {error}") from None
        named = {f"{path.stem}-{view.name}" if view.name else path.stem: view for view in views}
        about = path.stat()
        how = f"{path.resolve()} {about.st_size} {about.st_mtime_ns} {lens} {' '.join(str(v.camera) for v in views)}"
        calibrations = {stem: self.out / "calibration" / f"{stem}.txt" for stem in named}
        quality = None if path.suffix.lower() == ".png" else _JPEG_QUALITY
        images = {stem: self.out / "rgb" / f"{stem}{'.png' if quality is None else '.jpg'}" for stem in named}
        if done.get(path.stem) == how and all(file.exists() for file in (*calibrations.values(), *images.values())):
            return
        image_hw3 = read_photo(path, known)[0] if known else files.read_image(path)
        if path.stem in done:
            self._forget(path, named.keys(), turns)
        for stem, view in named.items():
            if not view.name and (shown := shown_fraction(lens, view.camera)) < 1:
                tell(f"{path}: {1 - shown:.1%} of what --like asks for lies outside the photo and is black")
            try:
                seen_hw3 = undistorted(image_hw3, lens, view.camera, view.R_lv)
            except TransposeError as error:
                raise TransposeError(f"{path}: {error}") from None
            files.write_image(images[stem], seen_hw3, quality)
            files.write_camera(calibrations[stem], view.camera)
            if view.name:
                turns[stem] = {"photo": path.name, "view_to_photo": view.R_lv.tolist()}
        done[path.stem] = how

    def _forget(self, path: Path, kept: Collection[str], turns: dict[str, Any]) -> None:
        """Removes what was made of a photo before and is not made any more, such as views of a panorama."""
        before = {path.stem, *(stem for stem, view in turns.items() if view["photo"] == path.name)}
        for stem in before - set(kept):
            turns.pop(stem, None)
            for file in (*(self.out / "rgb").glob(f"{glob.escape(stem)}.*"), self.out / "calibration" / f"{stem}.txt"):
                file.unlink(missing_ok=True)

    def _views(self, path: Path, lens: Projection, target: Camera | None) -> tuple[PinholeView, ...]:
        """What comes out: the one camera that is asked for, or as many as the lens takes.

        Raises:
            ValueError: the distortion folds the image.
        """
        from transpose.geometry.lens import Lens
        from transpose.geometry.pinhole_views import PinholeView, pinhole_for, pinhole_views

        if target is not None:
            return (PinholeView("", target),)
        size = self.size or self._own_size(path, lens)
        if self.size or isinstance(lens, Lens):
            return (PinholeView("", pinhole_for(lens, *size)),)
        return pinhole_views(lens.resized(*size))

    @staticmethod
    def _own_size(path: Path, lens: Projection) -> tuple[int, int]:
        """The size of a photo in the grid of its lens, which may be that of another resolution."""
        from transpose.scenes import files

        stored, upright = files.stored_size(path), files.image_size(path)
        return stored if (stored[0] > stored[1]) == (lens.width > lens.height) else upright

    def _own_lens(self, path: Path, width: int, height: int) -> Projection:
        """The lens of a photo of this size, upright, as the options or its EXIF describe it."""
        from transpose.errors import TransposeError
        from transpose.geometry.camera_models import projection_of
        from transpose.geometry.lens import Lens
        from transpose.scenes.exif import focal_from_exif

        try:
            if self.model:
                return projection_of(self.model, self.parameters, width, height)
            if self.focal is not None:
                lens_width, lens_height = self.lens_size or (width, height)
                return Lens(lens_width, lens_height, self.focal, self.focal, lens_width / 2, lens_height / 2)
            exif = focal_from_exif(path)
        except ValueError as error:
            raise TransposeError(f"{path}: {error}") from None
        if exif is None:
            raise TransposeError(f"{path} has no focal length in its EXIF; give --camera, --model or --focal")
        return Lens(width, height, exif.focal_px, exif.focal_px, width / 2, height / 2)
