"""COLMAP's incremental mapper on matches of ours (Schönberger and Frahm, CVPR 2016)."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any

from transpose.mapping.sfm.colmap import import_pycolmap
from transpose.mapping.sfm.refinement import refined
from transpose.mapping.sfm.two_views import MIN_MATCHES, MatchedPhotos
from transpose.parallel import worker_count
from transpose.scenes.setup.unposed_photos import UnposedPhoto

FEWEST_PHOTOS = 3  # of a model
_WAIT_SECONDS = 0.2
_MOST_DISTORTION = 1.0


@contextmanager
def database(matched: MatchedPhotos, cameras: Sequence[Any]) -> Iterator[Path]:
    """Yields a database of COLMAP's with everything that its mapper reads, which is removed afterwards.

    Photos have their number plus one as id there.
    """
    with tempfile.TemporaryDirectory(prefix="transpose-") as folder:
        path = Path(folder) / "database.db"
        Database = import_pycolmap().Database
        with closing(Database.open(path)) as file:
            rigs = [_write_camera(file, camera) for camera in cameras]
            for photo, each in zip(matched.photos, matched.keypoints, strict=True):
                _write_photo(file, photo, cameras[photo.camera], rigs[photo.camera])
                file.write_keypoints(file.num_images(), each.px_n2.numpy())
            for pair in matched.pairs:
                ids = pair.first + 1, pair.second + 1
                file.write_matches(*ids, pair.matches_m2)
                file.write_two_view_geometry(*ids, pair.geometry)
        yield path


def _write_camera(file: Any, camera: Any) -> int:
    colmap = import_pycolmap()
    number = file.write_camera(camera, use_camera_id=True)
    rig = colmap.Rig()
    rig.add_ref_sensor(colmap.sensor_t(colmap.SensorType.CAMERA, number))
    return int(file.write_rig(rig))


def _write_photo(file: Any, photo: UnposedPhoto, camera: Any, rig: int) -> None:
    colmap = import_pycolmap()
    number = file.write_image(colmap.Image(name=photo.name, camera_id=camera.camera_id))
    frame = colmap.Frame()
    frame.rig_id = rig
    frame.add_data_id(colmap.data_t(colmap.sensor_t(colmap.SensorType.CAMERA, camera.camera_id), number))
    file.write_frame(frame)


@dataclass(frozen=True)
class MapperOptions:
    """What the mapper may estimate.

    Attributes:
        estimate_focal: focal lengths; else they stay as they are.
        seed: of its searches.
    """

    estimate_focal: bool = True
    seed: int = 0


def models_of(path: Path, options: MapperOptions, placed: Callable[[], None]) -> list[Any]:
    """COLMAP's models of a database, the one with most photos first, and that one refined.

    The mapper runs beside this thread, which an interrupt therefore reaches; it is told to stop then.

    Args:
        path: of the database.
        options: of the mapper.
        placed: called after each photo that was placed.
    """
    colmap = import_pycolmap()
    token, events = colmap.CancellationToken(), SimpleQueue[Any]()

    def run() -> None:
        try:
            with tempfile.TemporaryDirectory(prefix="transpose-") as out:
                models = colmap.incremental_mapping(
                    path,
                    out,
                    out,
                    _pipeline(options),
                    initial_image_pair_callback=lambda: events.put(2),
                    next_image_callback=lambda: events.put(1),
                    cancellation_token=token,
                )
            found = sorted(models.values(), key=lambda model: -int(model.num_reg_images()))
            events.put([refined(model, options.estimate_focal) for model in found[:1]] + found[1:])
        except BaseException as error:  # is raised in the thread that waits
            events.put(error)

    thread = Thread(target=run, name="mapper")
    thread.start()
    try:
        return _result(events, placed)
    finally:
        token.cancel()
        thread.join()


def _result(events: SimpleQueue[Any], placed: Callable[[], None]) -> list[Any]:
    while True:
        try:
            event = events.get(timeout=_WAIT_SECONDS)  # a wait without end would not be interrupted on Windows
        except Empty:
            continue
        if isinstance(event, BaseException):
            raise event
        if isinstance(event, list):
            return event
        for _ in range(event):
            placed()


def _pipeline(options: MapperOptions) -> Any:
    colmap = import_pycolmap()
    pipeline = colmap.IncrementalPipelineOptions()
    pipeline.min_model_size = FEWEST_PHOTOS
    pipeline.min_num_matches = MIN_MATCHES
    pipeline.extract_colors = False
    pipeline.max_extra_param = _MOST_DISTORTION
    pipeline.num_threads = worker_count()
    pipeline.ba_refine_focal_length = pipeline.mapper.abs_pose_refine_focal_length = options.estimate_focal
    pipeline.random_seed = pipeline.mapper.random_seed = pipeline.triangulation.random_seed = options.seed
    return pipeline
