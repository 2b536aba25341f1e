"""A COLMAP project: photos, and the sparse model that was made of them."""

from __future__ import annotations

from pathlib import Path

from transpose.errors import TransposeError
from transpose.scenes.setup.colmap_files import read_model
from transpose.scenes.setup.photo_units import in_metres, warn_of_unknown_unit
from transpose.scenes.setup.posed_photos import PosedPhoto, Progress, listed, write_posed_photos


def setup_colmap(
    source: Path,
    out: Path,
    section: str = "train",
    list_file: Path | None = None,
    progress: Progress = lambda photos, _: photos,
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
        unit_m: metres that the model's unit is, by which everything is multiplied; None: not known, and left as it is.
    """
    if not source.is_dir():
        raise TransposeError(f"{source} is not a folder")
    model = read_model(source)
    folder = next((p / "images" for p in (source, *source.resolve().parents[:2]) if (p / "images").is_dir()), source)
    photos = [
        PosedPhoto(
            image.name,
            folder / image.name,
            model.cameras[image.camera_id],
            image.pose,
            model.seen_in(image) if len(model.point_ids_n) else None,
        )
        for image in model.images
    ]
    plan = {"setup": "colmap", "source": str(source)}
    photos = in_metres(listed(photos, list_file), unit_m)
    facts = {"source": f"colmap:{source.resolve().name}", "poses": "COLMAP", "points": len(model.point_ids_n)}
    written = write_posed_photos(photos, out, section, plan, facts, progress, metric=unit_m is not None)
    if unit_m is None:
        warn_of_unknown_unit(written, photos)
    return [written]
