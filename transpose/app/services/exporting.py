"""Exports: which inputs each form needs, and where its output goes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from transpose.app.console import tell
from transpose.app.outputs import check_file, check_folder
from transpose.app.services.localizing import times_in_names
from transpose.errors import TransposeError
from transpose.storage import json_text, replacing_file, replacing_folder

if TYPE_CHECKING:
    import numpy as np

    from transpose.exporting.estimates import Estimates, PosedImage
    from transpose.exporting.onnx_folder import Precision
    from transpose.runs import Checkpoint

Form = Literal["onnx", "colmap", "nerfstudio", "tum", "geojson", "kml", "ros"]
_FOLDERS = ("onnx", "colmap", "nerfstudio")
_CALIBRATION_IMAGES = 24
# Flags that go with some forms alone.
_GO_WITH: dict[str, tuple[Form, ...]] = {
    "precision": ("onnx",),
    "images": ("onnx",),
    "text": ("colmap",),
    "rate": ("tum", "ros"),
    "times": ("tum", "ros"),
    "world": ("geojson", "kml"),
    "frame_id": ("ros",),
}


@dataclass(frozen=True)
class ExportRequest:
    """What is to be exported; the fields are the flags of `transpose.app.commands.export.Export`."""

    run_folder: Path
    to: Form
    out: Path
    results: Path | None = None
    answers: Path | None = None
    precision: Precision = "float32"
    images: Path | None = None
    text: bool = False
    rate: float = 1.0
    times: Literal["even", "names"] = "even"
    world: Path | None = None
    frame_id: str = "map"


def export(asked: ExportRequest) -> None:
    """Writes what was asked for.

    Raises:
        TransposeError: flags contradict each other, an input is missing or broken, or `out` is in the way.
    """
    _check(asked)
    if asked.to == "onnx":
        _network(asked)
        return
    from transpose import runs
    from transpose.exporting.estimates import estimates_of_answers, estimates_of_results

    checkpoint = runs.load_model(asked.run_folder)
    if asked.answers is not None:
        estimates = estimates_of_answers(asked.answers)
    else:
        assert asked.results is not None
        estimates = estimates_of_results(asked.results)
    if asked.to in _FOLDERS:
        _folder(asked, checkpoint, estimates)
    else:
        text = _text(asked, checkpoint, estimates)
        with replacing_file(asked.out) as temporary:
            temporary.write_text(text, encoding="utf-8")
    if estimates.refused:
        count = estimates.refused + len(estimates.images)
        tell(f"{estimates.refused} of {count} images have no pose and are left out")


def _check_flags(asked: ExportRequest) -> None:
    """Refuses flags that would change nothing."""
    for name, forms in _GO_WITH.items():
        if asked.to not in forms and getattr(asked, name) != getattr(ExportRequest, name):
            raise TransposeError(f"--{name.replace('_', '-')} goes with --to {' and '.join(forms)}; leave it away")
    if asked.images is not None and asked.precision != "int8":
        raise TransposeError("--images goes with --precision int8; leave it away")
    if asked.times == "names" and asked.rate != ExportRequest.rate:
        raise TransposeError("--times names takes the times from the names, and --rate makes them; give one")


def _check(asked: ExportRequest) -> None:
    _check_flags(asked)
    given = [flag for flag in ("results", "answers") if getattr(asked, flag) is not None]
    if asked.to == "onnx" and given:
        raise TransposeError(f"--{given[0]} goes with poses, and --to onnx writes the networks; leave it away")
    if asked.to != "onnx" and len(given) != 1:
        raise TransposeError(
            f"--to {asked.to} needs poses: --results of transpose test, or --answers of transpose localize"
        )
    if asked.to in _FOLDERS:
        check_folder(asked.out)
        if asked.out.is_dir() and any(asked.out.iterdir()):
            raise TransposeError(f"{asked.out} is not empty; remove it, or name another --out")
    else:
        check_file(asked.out)
    if not 0 < asked.rate < 1e6:
        raise TransposeError(f"--rate is a number of images a second, not {asked.rate}")


def _network(asked: ExportRequest) -> None:
    from transpose import runs
    from transpose.exporting.onnx_folder import check_exportable, export_onnx

    checkpoint = runs.load_model(asked.run_folder)
    check_exportable(checkpoint, asked.run_folder)
    images = _images(asked, checkpoint) if asked.precision == "int8" else []
    with replacing_folder(asked.out) as folder:
        export_onnx(asked.run_folder, folder, asked.precision, images)


def _images(asked: ExportRequest, checkpoint: Checkpoint) -> list[np.ndarray]:
    """Some images of the place: those of a folder, else of the last section that was learned from."""
    from transpose.scenes.files import read_image
    from transpose.scenes.image_kinds import photos_in
    from transpose.scenes.resizing import resized_to_height

    folder = asked.images
    if folder is None and checkpoint.provenance.scene and checkpoint.provenance.sections:
        folder = Path(checkpoint.provenance.scene) / checkpoint.provenance.sections[-1] / "rgb"
    if folder is None or not folder.is_dir():
        raise TransposeError(
            "--precision int8 needs images of the place, and those that were learned from are not there; "
            "name a folder of some with --images"
        )
    photos, _ = photos_in(folder)
    if not photos:
        raise TransposeError(f"{folder} holds no photos")
    learned, images = checkpoint.camera.camera, []
    for path in photos[:: max(1, len(photos) // _CALIBRATION_IMAGES)][:_CALIBRATION_IMAGES]:
        image_hw3 = read_image(path)
        camera = learned.resized(image_hw3.shape[1], image_hw3.shape[0])
        images.append(resized_to_height(image_hw3, camera, checkpoint.height or learned.height)[0])
    return images


def _folder(asked: ExportRequest, checkpoint: Checkpoint, estimates: Estimates) -> None:
    from transpose.exporting.nerfstudio import write_nerfstudio

    known = [image for image in estimates.images if image.camera is not None]
    if not known:
        raise TransposeError(f"no image with a pose has a camera, which --to {asked.to} needs")
    if lacking := len(estimates.images) - len(known):
        tell(f"{lacking} images have a pose by their neighbours but no known camera, and are left out")
    if asked.to == "colmap":
        _colmap(asked, checkpoint, known)
        return
    with replacing_folder(asked.out) as folder:
        if missing := write_nerfstudio(folder, known):
            tell(f"{missing} photos are not where they were localized from; put them into {asked.out / 'images'}")


def _colmap(asked: ExportRequest, checkpoint: Checkpoint, images: Sequence[PosedImage]) -> None:
    from transpose.exporting.colmap import in_stored_pixels, write_colmap_binary, write_colmap_text
    from transpose.exporting.onnx_folder import landmark_points

    stored = in_stored_pixels(images)
    if mirrored := len(images) - len(stored):
        advice = "write them upright (mogrify -auto-orient), then export again"
        if not stored:
            raise TransposeError(f"EXIF says that all photos are stored mirrored, which no pose describes; {advice}")
        tell(f"{mirrored} photos are stored mirrored, which no pose describes, and are left out; {advice}")
    if asked.text and any(" " in each.name for each in stored):
        tell("note: spaces part the words of COLMAP's text files, and names of photos have some; leave --text away")
    write = write_colmap_text if asked.text else write_colmap_binary
    with replacing_folder(asked.out) as folder:
        write(folder, stored, landmark_points(checkpoint))


def _text(asked: ExportRequest, checkpoint: Checkpoint, estimates: Estimates) -> str:
    if asked.to == "tum":
        from transpose.exporting.trajectory import tum_text

        return tum_text(estimates.images, _times(asked, estimates.images))
    return _ros(asked, estimates) if asked.to == "ros" else _map(asked, checkpoint, estimates)


def _ros(asked: ExportRequest, estimates: Estimates) -> str:
    from transpose.exporting.ros import ros_message, ros_text

    if not estimates.metric:
        raise TransposeError("ROS counts in metres, and this place is in a unit of its own; set it up with --unit")
    known = [image for image in estimates.images if image.covariance_66 is not None]
    if not known:
        raise TransposeError("no pose has a covariance, which PoseWithCovarianceStamped needs")
    if lacking := len(estimates.images) - len(known):
        tell(f"{lacking} poses have no covariance and are left out")
    times_s = _times(asked, known)
    messages = [ros_message(image, time_s, asked.frame_id) for image, time_s in zip(known, times_s, strict=True)]
    return ros_text(messages, asked.out.suffix.lower() in (".yaml", ".yml"))


def _map(asked: ExportRequest, checkpoint: Checkpoint, estimates: Estimates) -> str:
    from transpose.exporting.geographic import geographic_poses, geojson, height_sentence, kml_text

    if not estimates.metric:
        raise TransposeError(
            f"--to {asked.to} needs poses in the metres of a map, and these are in a unit of the scene's own; set the "
            "scene up again in metres (--metric or --unit METRES_PER_UNIT)"
        )
    crs = _projection(asked, checkpoint)
    heights = height_sentence(crs)
    poses = geographic_poses(estimates.images, crs)
    tell(heights)
    return json_text(geojson(poses, heights)) if asked.to == "geojson" else kml_text(poses, heights)


def _projection(asked: ExportRequest, checkpoint: Checkpoint) -> str:
    """The map projection of the run's world.

    Raises:
        TransposeError: the world is not there, or in no projection.
    """
    from transpose.worlds.world import read_metadata

    folder = asked.world or (Path(checkpoint.provenance.world) if checkpoint.provenance.world else None)
    if folder is None or not (folder / "world.json").is_file():
        where = "the run notes none" if folder is None else f"{folder} is not there"
        raise TransposeError(f"--to {asked.to} needs the world of the place, and {where}; name it with --world")
    crs = read_metadata(folder).facts.get("crs")
    if not isinstance(crs, str) or not crs:
        raise TransposeError(
            f"the world {folder} is in no map projection, so nobody knows where on earth it is; --to {asked.to} needs "
            "one that was built from GeoTIFF or LAS/LAZ with a coordinate reference system"
        )
    return crs


def _times(asked: ExportRequest, images: Sequence[PosedImage]) -> list[float]:
    if asked.times == "names":
        return times_in_names([image.path for image in images])
    return [image.index / asked.rate for image in images]
