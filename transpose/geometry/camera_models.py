"""Camera models by the names that COLMAP, Nerfstudio and others give them, and what their parameters are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from transpose.geometry.fisheye import Division, FieldOfView, Fisheye
from transpose.geometry.lens import Lens
from transpose.geometry.panorama import Panorama
from transpose.geometry.projection import Projection

_ONE_FOCAL, _TWO_FOCALS = ("f", "cx", "cy"), ("fx", "fy", "cx", "cy")
_RADIAL_6 = ("k0", "k1", "k2", "k3", "k4", "k5")
# Each model's parameters in order. The first twelve and RAD_TAN_THIN_PRISM_FISHEYE are COLMAP's.
MODELS: dict[str, tuple[str, ...]] = {
    "SIMPLE_PINHOLE": _ONE_FOCAL,
    "PINHOLE": _TWO_FOCALS,
    "SIMPLE_RADIAL": (*_ONE_FOCAL, "k1"),
    "RADIAL": (*_ONE_FOCAL, "k1", "k2"),
    "OPENCV": (*_TWO_FOCALS, "k1", "k2", "p1", "p2"),
    "FULL_OPENCV": (*_TWO_FOCALS, "k1", "k2", "p1", "p2", "k3", "k4", "k5", "k6"),
    "OPENCV_FISHEYE": (*_TWO_FOCALS, "k1", "k2", "k3", "k4"),
    "SIMPLE_RADIAL_FISHEYE": (*_ONE_FOCAL, "k1"),
    "RADIAL_FISHEYE": (*_ONE_FOCAL, "k1", "k2"),
    "THIN_PRISM_FISHEYE": (*_TWO_FOCALS, "k1", "k2", "p1", "p2", "k3", "k4", "sx1", "sy1"),
    "RAD_TAN_THIN_PRISM_FISHEYE": (*_TWO_FOCALS, *_RADIAL_6, "p0", "p1", "s0", "s1", "s2", "s3"),
    "FOV": (*_TWO_FOCALS, "omega"),
    "SIMPLE_DIVISION": (*_ONE_FOCAL, "k"),
    "DIVISION": (*_TWO_FOCALS, "k"),
    "SIMPLE_FISHEYE": _ONE_FOCAL,
    "FISHEYE": _TWO_FOCALS,
    "EQUIRECTANGULAR": (),
}
PARAMETERS = frozenset(name for names in MODELS.values() for name in names)
_BROWN = ("SIMPLE_PINHOLE", "PINHOLE", "SIMPLE_RADIAL", "RADIAL", "OPENCV", "FULL_OPENCV")
_ALONE = ("FOV", "SIMPLE_DIVISION", "DIVISION", "RAD_TAN_THIN_PRISM_FISHEYE", "EQUIRECTANGULAR")


def heeded(model: str) -> frozenset[str]:
    """The names that `projection_by_name` reads of a model: a simple one may have the parameters of its larger kin.

    Raises:
        ValueError: the model is not one of `MODELS`.
    """
    _known(model)
    kin = model if model in _ALONE else "FULL_OPENCV" if model in _BROWN else "THIN_PRISM_FISHEYE"
    return frozenset({*MODELS[kin], "f", "fx", "fy", "cx", "cy"})


def projection_of(model: str, parameters: Sequence[float], width: int, height: int) -> Projection:
    """The image of a camera, from a model's parameters in order.

    Raises:
        ValueError: the model is not one of `MODELS`, has another number of parameters, or they are none.
    """
    _known(model)
    if len(parameters) != len(MODELS[model]):
        names = f" ({', '.join(MODELS[model])})" if MODELS[model] else ""
        raise ValueError(f"camera model {model} has {len(MODELS[model])} parameters{names}, got {len(parameters)}")
    values = dict(zip(MODELS[model], map(float, parameters), strict=True))
    return projection_by_name(model, values, width, height)


def projection_by_name(model: str, values: Mapping[str, float], width: int, height: int) -> Projection:
    """The image of a camera, from parameters by name: those that the model has, zero where one is missing.

    `f` stands for both focal lengths, and the principal point is in the middle where it is not said.

    Raises:
        KeyError: a focal length is missing.
        ValueError: the model is not one of `MODELS`, or parameters are none.
    """
    _known(model)
    if model == "EQUIRECTANGULAR":
        return Panorama(width, height)
    fx = float(values["fx"] if "fx" in values else values["f"])
    center = float(values.get("cx", width / 2)), float(values.get("cy", height / 2))
    place = width, height, fx, float(values.get("fy", fx)), *center

    def some(*names: str) -> tuple[float, ...]:
        return tuple(float(values.get(name, 0.0)) for name in names)

    if model in _BROWN:
        return Lens(*place, *some("k1", "k2", "p1", "p2", "k3", "k4", "k5", "k6"))
    if model == "FOV":
        return FieldOfView(*place, omega=some("omega")[0])
    if model in ("SIMPLE_DIVISION", "DIVISION"):
        return Division(*place, k=some("k")[0])
    if model == "RAD_TAN_THIN_PRISM_FISHEYE":
        p0, p1, s0, s1, s2, s3 = some("p0", "p1", "s0", "s1", "s2", "s3")
        return Fisheye(*place, some(*_RADIAL_6), (p0, p1), (s0, s1, s2, s3), after_radial=True)
    p1, p2, sx1, sy1 = some("p1", "p2", "sx1", "sy1")
    return Fisheye(*place, some("k1", "k2", "k3", "k4"), (p2, p1), (sx1, 0.0, sy1, 0.0))


def _known(model: str) -> None:
    if model not in MODELS:
        raise ValueError(f"camera model {model} is not one of {', '.join(MODELS)}")
