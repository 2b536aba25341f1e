"""From one image, or a sequence of them, to a pose, and to the knowledge that there is none."""

from transpose.localization.coordinate_map import CoordinateMap
from transpose.localization.localizer import Localizer, PredictsCoordinates
from transpose.localization.methods import load
from transpose.localization.options import LocalizationOptions
from transpose.localization.query import Query
from transpose.localization.scene_coordinates import SceneCoordinateLocalizer
from transpose.localization.sequence import MotionModelOptions, SequenceFilter, SequenceOptions, smooth

__all__ = [
    "CoordinateMap",
    "LocalizationOptions",
    "Localizer",
    "MotionModelOptions",
    "PredictsCoordinates",
    "Query",
    "SceneCoordinateLocalizer",
    "SequenceFilter",
    "SequenceOptions",
    "load",
    "smooth",
]
