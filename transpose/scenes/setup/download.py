"""Fetching large files: goes on where a connection broke, and never lets a wrong file take the place of a right one."""

from __future__ import annotations

import hashlib
import http.client
import logging
import shutil
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from transpose.errors import TransposeError

log = logging.getLogger(__name__)
PART_SUFFIX = ".part"
_BLOCK = 1 << 20
_TIMEOUT_SECONDS = 60.0
_ATTEMPTS = 5
_AGENT = "transpose-loc"
_THIS_MACHINE = ("127.0.0.1", "::1", "localhost")


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows none to where anybody on the way could change what arrives."""

    def redirect_request(self, *words: Any) -> urllib.request.Request | None:
        """See `urllib`; the first word is the old request, the last one the new address."""
        before, now = (urllib.parse.urlsplit(url).scheme for url in (words[0].full_url, words[-1]))
        if before == "https" and now != before:
            raise TransposeError(f"{words[0].full_url} leads to {words[-1]}, which is no https; it is not followed")
        return super().redirect_request(*words)


_OPENER = urllib.request.build_opener(_Redirects)


def _refuse_open(url: str) -> None:
    """Raises `TransposeError` for what is not fetched over TLS; this machine itself is no network."""
    parts = urllib.parse.urlsplit(url)
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in _THIS_MACHINE):
        raise TransposeError(f"{url} is not fetched: only https is; fetch it yourself, and name it with --source")


def fetch(
    url: str,
    path: Path,
    size: int | None = None,
    sha256: str | None = None,
    progress: Callable[[int, int | None], None] = lambda done, total: None,
) -> Path:
    """Fetches a file, unless it is there already and as it should be.

    What has arrived stands in `path.part`; a later call goes on from there where the server can.

    Args:
        url: of the file.
        path: where it goes; its folder is made.
        size: in bytes, where it is known.
        sha256: hexadecimal, where it is known.
        progress: called with bytes done and bytes in all.

    Raises:
        TransposeError: the server cannot be reached or does not have it, the disk is full, or what arrived is not what
            was promised; whatever stood at `path` stays.
    """
    _refuse_open(url)
    if path.is_file() and _complaint(path, size, sha256) is None:
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + PART_SUFFIX)
    for attempt in range(_ATTEMPTS):
        try:
            _append(url, part, size, progress)
            break
        except urllib.error.HTTPError as error:
            if error.code == 416:  # nothing is left of it to send: what is there is whole, or of another file
                break
            if error.code < 500 or attempt == _ATTEMPTS - 1:
                raise TransposeError(f"{url}: the server answers {error.code} ({error.reason})") from None
        except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError) as error:
            if attempt == _ATTEMPTS - 1:
                kept = part.stat().st_size if part.exists() else 0
                raise TransposeError(
                    f"{url} could not be fetched ({_reason(error)}); {kept / 1e6:.1f} MB are kept, the same command "
                    "goes on from there"
                ) from None
        log.info("%s: the connection broke; trying again", url)
        time.sleep(min(0.1 * 4**attempt, 10.0))
    if (complaint := _complaint(part, size, sha256)) is not None:
        part.unlink(missing_ok=True)
        raise TransposeError(f"{url} is not what it should be: {complaint}; what arrived was thrown away")
    part.replace(path)
    return path


def _append(url: str, part: Path, size: int | None, progress: Callable[[int, int | None], None]) -> None:
    """Fetches what a part lacks; a server that sends all of it again is taken at its word."""
    have = part.stat().st_size if part.exists() else 0
    if size is not None and have >= size:
        return
    request = urllib.request.Request(url, headers={"User-Agent": _AGENT})
    if have:
        request.add_header("Range", f"bytes={have}-")
    with _OPENER.open(request, timeout=_TIMEOUT_SECONDS) as answer:
        resumed = answer.status == 206
        done = have if resumed else 0
        length = answer.headers.get("Content-Length")
        total = done + int(length) if length else None
        _check_room(part, None if total is None else total - done)
        with part.open("ab" if resumed else "wb") as file:
            while block := answer.read(_BLOCK):
                file.write(block)
                done += len(block)
                progress(done, total)
    if total is not None and done < total:
        raise http.client.IncompleteRead(b"", total - done)


def _check_room(part: Path, wanted: int | None) -> None:
    free = shutil.disk_usage(part.parent).free
    if wanted is not None and wanted > free:
        raise TransposeError(f"{part.parent} has room for {free / 1e9:.1f} GB, {wanted / 1e9:.1f} GB are needed")


def _complaint(path: Path, size: int | None, sha256: str | None) -> str | None:
    have = path.stat().st_size if path.exists() else 0
    if size is not None and have != size:
        return f"{have} bytes, {size} were promised"
    if sha256 is not None and _sha256(path) != sha256.lower():
        return "its checksum (SHA-256) is another one"
    return None if path.exists() else "nothing arrived"


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _reason(error: Exception) -> str:
    return str(getattr(error, "reason", error)) or type(error).__name__
