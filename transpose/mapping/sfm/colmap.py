"""pycolmap, where it is installed, quiet, and its objects of ours and back."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from transpose.errors import MissingPackageError
from transpose.geometry.camera_models import projection_of
from transpose.geometry.lens import Lens
from transpose.scenes.setup.unposed_photos import SharedCamera

MODEL = "OPENCV"
PLAIN_MODEL = "SIMPLE_RADIAL"
MANY_PHOTOS = 8  # of a camera: fewer tell no more of it than a focal length and one coefficient of distortion
GUESSED_FOCAL = 1.2  # of the longer side, as COLMAP guesses; what no lens of a phone or drone is far from
_FATAL_ALONE = 3


def import_pycolmap() -> Any:
    """pycolmap; when it is loaded it takes SIGTERM for a crash, which is undone, so that work is cleared away first.

    Raises:
        MissingPackageError: it is not installed or cannot be loaded.
    """
    handler = None if "pycolmap" in sys.modules else signal.getsignal(signal.SIGTERM)
    try:
        import pycolmap
    except (ImportError, OSError) as error:
        raise MissingPackageError(f"pycolmap ({error})", "sfm", "to find poses of photos") from None
    if handler is not None:
        with suppress(ValueError):  # not the main thread: it may set no handler
            signal.signal(signal.SIGTERM, handler)
    return pycolmap


@contextmanager
def quiet() -> Iterator[None]:
    """Without the lines that COLMAP logs of each photo; what it fails at is said in words of ours."""
    logging = import_pycolmap().logging
    before, logging.minloglevel = logging.minloglevel, _FATAL_ALONE
    try:
        yield
    finally:
        logging.minloglevel = before


def colmap_camera(number: int, camera: SharedCamera, model: str = MODEL) -> Any:
    """A camera of ours as COLMAP's, with the id `number`."""
    guess_px = GUESSED_FOCAL * max(camera.width, camera.height)
    made = import_pycolmap().Camera.create_from_model_name(
        number, model, camera.focal_px or guess_px, camera.width, camera.height
    )
    made.has_prior_focal_length = camera.focal_px is not None
    return made


def lens_of(camera: Any) -> Lens:
    """A camera of COLMAP's as a lens of ours; both count pixels alike."""
    lens = projection_of(camera.model_name, list(camera.params), camera.width, camera.height)
    assert isinstance(lens, Lens), "the model has no other projection"
    return lens
