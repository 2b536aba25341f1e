"""Forms with files, read into memory: the web framework's own way writes files of over a megabyte to the disk."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from fastapi import HTTPException, Request
from starlette.datastructures import UploadFile
from starlette.formparsers import FormParser, MultiPartException, MultiPartParser

_FIELDS = 12
_FIELDS_OF_TEXT = {"focal", "prior", "risk", "run"}


@dataclass(frozen=True)
class Form:
    """What a client sent.

    Attributes:
        values: of the fields, by name.
        files: (name at the client's, bytes) by the name of the field, in order.
    """

    values: dict[str, str] = field(default_factory=dict)
    files: dict[str, list[tuple[str, bytes]]] = field(default_factory=dict)


async def read_form(request: Request, most_bytes: int, most_files: int) -> Form:
    """The form of a request.

    Raises:
        HTTPException: 415 for a body that is no form, 400 for one that is broken, or has too many parts, 422 for one
            that sends as a file what is none.
    """
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if kind == "multipart/form-data":
        parser: Any = MultiPartParser(
            request.headers, request.stream(), max_files=most_files, max_fields=_FIELDS, max_part_size=most_bytes
        )
        parser.spool_max_size = most_bytes + 1
    elif kind == "application/x-www-form-urlencoded":
        parser = FormParser(request.headers, request.stream())
    else:
        raise HTTPException(415, "send a form: multipart/form-data with the photo as its field image")
    try:
        sent = await parser.parse()
    except MultiPartException as error:
        raise HTTPException(400, f"the form is broken: {error.message}") from None
    except (KeyError, UnicodeDecodeError, ValueError):
        raise HTTPException(400, "the form is broken") from None
    form = Form()
    for name, value in sent.multi_items():
        if isinstance(value, UploadFile):
            form.files.setdefault(name, []).append((value.filename or "photo", await value.read()))
        else:
            form.values[name] = value
    await sent.close()
    if files := sorted(form.files.keys() & _FIELDS_OF_TEXT):
        raise HTTPException(422, f"{files[0]} is a field, and was sent as a file")
    return form
