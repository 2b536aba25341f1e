"""Files that say what a lens is: a JSON object as in a poses.json, ROS's camera_info, OpenCV's and Kalibr's YAML, and
what COLMAP, Nerfstudio and OpenSfM (OpenDroneMap) keep of one camera.

What ROS, OpenCV and Kalibr write counts pixel centres at integers; half a pixel is added here.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from transpose.errors import TransposeError
from transpose.geometry.camera_models import MODELS, projection_by_name, projection_of
from transpose.geometry.projection import Projection
from transpose.scenes.setup.nerfstudio_lens import nerfstudio_lens
from transpose.scenes.setup.odm import lens_of_opensfm
from transpose.scenes.setup.photos import lens_of_json
from transpose.scenes.setup.transforms_json import plain
from transpose.storage import read_text
from transpose.untrusted.values import BAD_VALUES

log = logging.getLogger(__name__)
_LONGEST_LINE = 10_000  # of YAML; a camera's have a hundred letters
_BROWN = ("k1", "k2", "p1", "p2", "k3", "k4", "k5", "k6")
_FISHEYE = ("k1", "k2", "k3", "k4")
# What ROS and Kalibr call a lens, by how many coefficients it may have.
_FISHEYE_WORDS = ("equidistant", "fisheye", "kannala_brandt", "equi")
_BROWN_WORDS = ("plumb_bob", "rational_polynomial", "radtan", "radial-tangential", "none", "")


def read_camera_file(path: Path) -> Projection:
    """The lens that a file describes.

    Raises:
        TransposeError: it is of another kind, describes several cameras, or lacks something.
    """
    if path.suffix.lower() == ".txt" and (lens := _colmap(path)) is not None:
        return lens
    content = _parsed(path)
    try:
        if isinstance(content, list):
            if len(content) != 1:
                raise ValueError(f"it holds a list of {len(content)}; give a file with one camera, an object")
            content = content[0]
        if not isinstance(content, dict):
            raise ValueError("it holds no object with a camera's parameters")
        content = content.get("camera", content)
        if kalibr := [name for name in content if re.fullmatch(r"cam\d+", name)]:
            if len(kalibr) > 1:
                raise ValueError(f"it holds the cameras {', '.join(kalibr)}; give a file with one")
            return _kalibr(content[kalibr[0]])
        if "fl_x" in content or "camera_angle_x" in content:
            return _nerfstudio(content)
        if opensfm := [name for name, each in content.items() if isinstance(each, dict) and "projection_type" in each]:
            if len(opensfm) > 1:
                raise ValueError(f"it holds the cameras {', '.join(opensfm)}; give a file with one")
            return lens_of_opensfm(content[opensfm[0]])
        matrices = {name for name in ("K", "k") if not isinstance(content.get(name, 0.0), int | float)}
        if {"camera_matrix", "distortion_coefficients", "distortion_model"} & content.keys() or matrices:
            return _opencv(path, content)
        return lens_of_json(content)
    except BAD_VALUES as error:
        what = f"lacks {error}" if isinstance(error, KeyError) else str(error)
        raise TransposeError(f"{path}: {what}") from None


def _colmap(path: Path) -> Projection | None:
    """The camera of COLMAP's cameras.txt, None of a file that is none."""
    rows = [line.split() for line in read_text(path).splitlines() if line.strip() and not line.startswith("#")]
    if not rows or any(len(row) < 5 or row[1].upper() not in MODELS for row in rows):
        return None
    if len(rows) > 1:
        raise TransposeError(f"{path} holds {len(rows)} cameras; give a file with one")
    _, model, width, height, *numbers = rows[0]
    try:
        return projection_of(model.upper(), [float(each) for each in numbers], int(width), int(height))
    except (ValueError, OverflowError) as error:
        raise TransposeError(f"{path}: {error}") from None


def _nerfstudio(content: Mapping[str, Any]) -> Projection:
    said = plain({name: value for name, value in content.items() if name != "frames"})
    return nerfstudio_lens(said, int(said["w"]), int(said["h"]))[0]


def _parsed(path: Path) -> Any:
    text = read_text(path)
    if path.suffix.lower() in (".yaml", ".yml") or text.lstrip().startswith("%YAML"):
        try:
            return _yaml(text)
        except RecursionError:
            raise TransposeError(f"{path}: it is nested too deeply to describe a camera") from None
        except ValueError as error:
            raise TransposeError(f"{path}: {error}") from None
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        kinds = "a JSON object, COLMAP's cameras.txt, or ROS's, OpenCV's or Kalibr's YAML (.yaml)"
        if text.lstrip().startswith("<"):
            raise TransposeError(
                f"{path} is XML, which is not read; write the same as JSON (Metashape's f, cx, cy and k1 to p2: "
                '{"model": "FULL_OPENCV", "width": ..., "height": ..., "fx": f, "fy": f, "cx": width / 2 + cx, '
                '"cy": height / 2 + cy, "k1": ..., "p1": its p2, "p2": its p1}), or as OpenCV\'s YAML'
            ) from None
        raise TransposeError(f"{path} describes no camera ({error}); it is to be {kinds}") from None


def _opencv(path: Path, content: Mapping[str, Any]) -> Projection:
    """ROS's camera_info, as a message or a file, and OpenCV's calibration."""
    width, height = (
        int(next(content[name] for name in names if name in content))
        for names in (("image_width", "width"), ("image_height", "height"))
        if any(name in content for name in names) or _lacks(names[0])
    )
    matrix = _numbers(_first(content, "camera_matrix", "K", "k"))
    if len(matrix) != 9:
        raise ValueError(f"its camera matrix has {len(matrix)} numbers, not 9")
    fx, skew, cx, zero, fy, cy, *last = matrix
    if not fx > 0:
        raise ValueError("its camera matrix is zero: the camera is not calibrated")
    if skew or zero or last != [0, 0, 1]:
        raise ValueError(f"its camera matrix must be fx 0 cx 0 fy cy 0 0 1, it is {matrix}")
    model = content.get("distortion_model")
    if model is None and content.get("fisheye_model"):  # OpenCV's own calibration program
        model = _FISHEYE_WORDS[0]
    named = next((name for name in ("distortion_coefficients", "D", "d") if name in content), None)
    coefficients = _numbers(content[named]) if named else []
    if model is None and len(coefficients) == 4:
        log.warning("%s says no model of its 4 coefficients; they are taken for k1, k2, p1, p2", path)
    return _lens(str(model or ""), (fx, fy, cx, cy), coefficients, width, height)


def _kalibr(content: Mapping[str, Any]) -> Projection:
    if (model := content.get("camera_model", "pinhole")) != "pinhole":
        raise ValueError(
            f"Kalibr's camera model {model} is not supported; calibrate with pinhole-equi or pinhole-radtan"
        )
    width, height = (int(value) for value in content["resolution"])
    intrinsics = _numbers(content["intrinsics"])
    return _lens(
        str(content.get("distortion_model", "")), intrinsics, _numbers(content["distortion_coeffs"]), width, height
    )


def _lens(model: str, intrinsics: Sequence[float], coefficients: list[float], width: int, height: int) -> Projection:
    fx, fy, cx, cy = intrinsics
    values = {"fx": fx, "fy": fy, "cx": cx + 0.5, "cy": cy + 0.5}
    word = model.lower()
    if word in _FISHEYE_WORDS:
        if len(coefficients) != len(_FISHEYE):
            raise ValueError(f"distortion model {model} has 4 coefficients, got {len(coefficients)}")
        return projection_by_name(
            "OPENCV_FISHEYE", values | dict(zip(_FISHEYE, coefficients, strict=True)), width, height
        )
    if word not in _BROWN_WORDS:
        raise ValueError(
            f"distortion model {model} is not supported; it is to be plumb_bob, rational_polynomial or equidistant"
        )
    if any(coefficients[len(_BROWN) :]):
        raise ValueError("its thin-prism or tilt coefficients (the ninth and on) are not supported; calibrate without")
    named = dict(zip(_BROWN, coefficients[: len(_BROWN)], strict=False))
    return projection_by_name("FULL_OPENCV", values | named, width, height)


def _lacks(name: str) -> bool:
    raise KeyError(name)


def _first(content: Mapping[str, Any], *names: str) -> Any:
    return next((content[name] for name in names if name in content), None) or _lacks(names[0])


def _numbers(given: Any) -> list[float]:
    if isinstance(given, Mapping):  # rows, columns and data
        given = given["data"]
    flat = [each for row in given for each in (row if isinstance(row, list) else [row])]
    return [float(each) for each in flat]


def _yaml(text: str) -> dict[str, Any]:
    """The part of YAML that cameras are written in: maps by indentation, lists in brackets or by dashes, words."""
    lines = list(_logical_lines(text))
    content, rest = _map(lines, 0, 0)
    if rest < len(lines):
        raise ValueError(f"`{lines[rest][1]}` is not understood")
    return content


def _logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """Indentation and text of lines without comments, brackets joined to one line; the first document alone."""
    joined = ""
    started = False
    for line in text.splitlines():
        line = re.sub(r"(^|\s)#.*$", "", line).rstrip()
        if line.startswith(("%", "...")) or not line.strip():
            continue
        if line.startswith("---"):
            if started:
                return
            continue
        started = True
        joined = f"{joined} {line.strip()}" if joined else line
        if len(joined) > _LONGEST_LINE:
            raise ValueError(f"a line has over {_LONGEST_LINE} letters")
        if joined.count("[") > joined.count("]"):
            continue
        yield len(joined) - len(joined.lstrip()), joined.strip()
        joined = ""
    if joined:
        raise ValueError("a bracket is not closed")


def _map(lines: list[tuple[int, str]], at: int, indent: int) -> tuple[dict[str, Any], int]:
    content: dict[str, Any] = {}
    while at < len(lines) and lines[at][0] == indent and not lines[at][1].startswith("- "):
        match = re.fullmatch(r"[\"']?([^:\"']+)[\"']?\s*:\s*(?:!!\S+\s*)?(.*)", lines[at][1])
        if match is None:
            raise ValueError(f"`{lines[at][1]}` is not understood")
        key, word = match[1].strip(), match[2].strip()
        at += 1
        if word:
            content[key] = _value(word)
        elif at < len(lines) and lines[at][1].startswith("- ") and lines[at][0] >= indent:
            level, items = lines[at][0], []
            while at < len(lines) and lines[at][0] == level and lines[at][1].startswith("- "):
                items.append(_value(lines[at][1][2:].strip()))
                at += 1
            content[key] = items
        elif at < len(lines) and lines[at][0] > indent:
            content[key], at = _map(lines, at, lines[at][0])
        else:
            content[key] = None
    return content, at


def _value(word: str) -> Any:
    if word.startswith("["):
        return [_value(each.strip()) for each in re.split(r",(?![^\[]*\])", word[1:-1]) if each.strip()]
    word = word.strip("\"'")
    try:
        return float(word)
    except ValueError:
        return word
