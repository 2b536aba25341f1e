"""From one image, or a sequence of them, to a pose, and to the knowledge that there is none."""

from transpose.localization.coordinate_map import CoordinateMap
from transpose.localization.scene_coordinates import SceneCoordinateLocalizer, load
from transpose.localization.sequence import MotionModelOptions, SequenceFilter, SequenceOptions, smooth

__all__ = [
    "CoordinateMap",
    "MotionModelOptions",
    "SceneCoordinateLocalizer",
    "SequenceFilter",
    "SequenceOptions",
    "load",
    "smooth",
]
