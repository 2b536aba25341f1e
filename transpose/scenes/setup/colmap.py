"""A COLMAP project: photos, and the sparse model that was made of them."""

from __future__ import annotations

from pathlib import Path

from transpose.errors import TransposeError
from transpose.scenes.setup.colmap_files import read_model
from transpose.scenes.setup.photo_files import existing, listed, locate, usual_folders
from transpose.scenes.setup.photo_units import write_in_unit
from transpose.scenes.setup.posed_photos import PosedPhoto, Progress


def setup_colmap(
    source: Path,
    out: Path,
    section: str = "train",
    list_file: Path | None = None,
    progress: Progress = lambda photos, _: photos,
    images: Path | None = None,
    unit_m: float | None = None,
) -> list[Path]:
    """Sets up one section of a COLMAP project, in the frame of its model.

    Photos are undistorted; the model's points become sparse `init` labels. A model of SfM alone has no scale: where
    metres matter, align it first (`colmap model_aligner`), or measure something in it, and say so by `unit_m`.

    Args:
        source: the project: `images/` and a model in it, in `sparse` or in `sparse/0`; or the folder of one of its
            models, where there are several.
        out: the scene folder.
        section: its name.
        list_file: only the photos that it names, by name or stem.
        progress: wraps the photos as they are worked through.
        images: the folder of the photos, where they are not in one of the usual places.
        unit_m: metres that the model's unit is, by which everything is multiplied; None: not known, and left as it is.

    Raises:
        TransposeError: there is no model, it is broken, or most photos are missing.
    """
    if not source.is_dir():
        raise TransposeError(f"{source} is not a folder")
    if images is not None and not images.is_dir():
        raise TransposeError(f"{images} is not a folder")
    model = read_model(source)
    seen = [model.seen_in(image) for image in model.images]
    labelled = any(len(points_n3) for points_n3 in seen)
    folders = _folders(source, model.folder) if images is None else [images]
    paths = locate([image.name for image in model.images], folders)
    photos = [
        PosedPhoto(
            image.name,
            paths[image.name],
            model.cameras[image.camera_id],
            image.pose,
            points_n3 if labelled else None,
        )
        for image, points_n3 in zip(model.images, seen, strict=True)
    ]
    plan = {"setup": "colmap", "source": str(source)}
    facts = {"source": f"colmap:{source.resolve().name}", "poses": "COLMAP", "points": len(model.point_ids_n)}
    photos = existing(listed(photos, list_file), section, "name their folder with --images")
    return write_in_unit({section: photos}, out, unit_m, plan, facts, progress)


def _folders(source: Path, model: Path) -> list[Path]:
    """Where the photos of a model may be: beside the model first, then farther up in the project.

    The photos that gaussian splatting undistorts are in `input`, and their model in `distorted`; `images` are the
    undistorted ones, which belong to another model.
    """
    source, model = source.absolute(), model.absolute()  # photos may be beside a link to the model
    above = [model, *model.parents[:3]]
    if source != model:
        above = above[: above.index(source) + 1] if source in above else above
    first = "input" if any(each.name == "distorted" for each in above) else "images"
    return [folder for base in above for folder in usual_folders(base, first)]
