"""What OpenAPI says of the endpoints whose forms are read by hand."""

from __future__ import annotations

from typing import Any

_FILE = {"type": "string", "format": "binary"}
_FIELDS: dict[str, Any] = {
    "focal": {"type": "string", "description": 'Focal length in pixels, or "auto"; without, what EXIF says.'},
    "prior": {"type": "string", "description": "JSON of a 4x4 pose near which the camera is, camera to world."},
    "risk": {"type": "string", "description": "A pose is given where it is wrong with no higher probability (0 to 1)."},
    "run": {"type": "string", "description": "Name of the run to ask; without, the surest of all answers."},
}
_DETAIL = {
    "type": "object",
    "properties": {"detail": {"type": "string"}},
    "required": ["detail"],
}
_LOCATED: dict[str, Any] = {
    "type": "object",
    "properties": {
        "image": {"type": "string"},
        "pose": {"type": ["array", "null"], "items": {"type": "array", "items": {"type": "number"}}},
        "reason": {"type": "string"},
        "confidence": {"type": ["number", "null"]},
        "covariance": {"type": ["array", "null"]},
        "run": {"type": "string"},
        "run_version": {"type": "string"},
        "on_map": {"type": ["object", "null"]},
        "others": {"type": "array"},
        "view": {"type": ["string", "null"]},
        "error": {"type": "string"},
    },
    "required": ["image", "pose", "reason"],
}


def _json(description: str, of: dict[str, Any]) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": of}}}


def _refusals(*codes: int) -> dict[int | str, dict[str, Any]]:
    said = {
        400: "The form is broken.",
        401: "The key is missing or wrong.",
        403: "A page of another site asked.",
        404: "There is none of this name.",
        413: "The request is too large.",
        415: "It is no form.",
        422: "The photo or a field cannot be read; detail says why.",
        429: "Too many wait; come again.",
        504: "It took too long.",
    }
    return {code: _json(said[code], _DETAIL) for code in codes}


_WORK = (401, 403, 429, 504)
_FORM = (400, 404, 413, 415, 422)
ANSWER = {200: _json("The line of transpose localize.", _LOCATED), **_refusals(*_FORM, *_WORK)}
_MANY = {"type": "object", "properties": {"answers": {"type": "array", "items": _LOCATED}}, "required": ["answers"]}
ANSWERS = {200: _json("One line a photo, in order.", _MANY), **_refusals(*_FORM, *_WORK)}
RUNS = {200: _json("The runs.", {"type": "array", "items": {"type": "object"}}), **_refusals(*_WORK)}
PICTURE: dict[int | str, dict[str, Any]] = {
    200: {"description": "A picture.", "content": {"image/png": {"schema": _FILE}, "image/jpeg": {"schema": _FILE}}},
    **_refusals(404, *_WORK),
}


def one_photo() -> dict[str, Any]:
    """The form of one photo."""
    return _form({"image": _FILE, "depth": _FILE, **_FIELDS}, "image")


def photos() -> dict[str, Any]:
    """The form of several."""
    fields = {name: value for name, value in _FIELDS.items() if name != "prior"}
    return _form({"images": {"type": "array", "items": _FILE, "minItems": 1}, **fields}, "images")


def _form(properties: dict[str, Any], required: str) -> dict[str, Any]:
    of = {"type": "object", "properties": properties, "required": [required]}
    return {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": of}}}}
