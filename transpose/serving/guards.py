"""What every request passes first: its size, where it comes from, and its key."""

from __future__ import annotations

import json
import secrets
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import urlsplit

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_OPEN = ("/", "/page.js", "/page.css", "/healthz")  # the page itself, which asks for the key
_CONTENT = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
    "media-src 'self' blob:; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)
_HEADERS = (
    (b"content-security-policy", _CONTENT.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
)


class TooLargeError(Exception):
    """A body that grew beyond the limit while it came in."""


class Guards:
    """Refuses bodies that are too large, requests of other sites' pages, and those without the key.

    Args:
        app: what answers the others.
        body_bytes: the largest body.
        key: that clients must send as `X-API-Key` or `Authorization: Bearer`; empty: none is asked for.
    """

    def __init__(self, app: App, body_bytes: int, key: str = "") -> None:
        self._app, self._most, self._key = app, body_bytes, key

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = {name.lower(): value.decode("latin-1") for name, value in scope["headers"]}
        refused = self._refused(scope["path"], headers)
        if refused is not None:
            await _say(send, *refused)
            return
        counted = _Counted(receive, self._most)
        started = False

        async def guarded(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                message["headers"] = [*message.get("headers", []), *_HEADERS]
            await send(message)

        try:
            await self._app(scope, counted, guarded)
        except TooLargeError:
            if not started:
                await _say(send, 413, self._too_large)

    @property
    def _too_large(self) -> str:
        return f"the request has more than {self._most} bytes, the most that this service takes"

    def _refused(self, path: str, headers: dict[bytes, str]) -> tuple[int, str] | None:
        origin = headers.get(b"origin")
        if origin is not None and urlsplit(origin).netloc != headers.get(b"host"):
            return 403, f"a page of {origin[:100]} may not ask this service"
        if self._key and path not in _OPEN and not self._is_key(headers):
            return 401, "this service asks for its key, as X-API-Key or Authorization: Bearer"
        length = headers.get(b"content-length", "0")
        if length.isdigit() and int(length) > self._most:
            return 413, self._too_large
        return None

    def _is_key(self, headers: dict[bytes, str]) -> bool:
        given = headers.get(b"x-api-key") or headers.get(b"authorization", "").removeprefix("Bearer ")
        sent = given.encode("latin-1")  # the bytes themselves; some clients write UTF-8, others latin-1
        keys = (self._key.encode(), self._key.encode("latin-1", "backslashreplace"))
        return any(secrets.compare_digest(sent, key) for key in keys)


class _Counted:
    def __init__(self, receive: Receive, most: int) -> None:
        self._receive, self._left = receive, most

    async def __call__(self) -> Message:
        message = await self._receive()
        self._left -= len(message.get("body", b""))
        if self._left < 0:
            raise TooLargeError
        return message


async def _say(send: Send, status: int, detail: str) -> None:
    body = json.dumps({"detail": detail}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode()), *_HEADERS]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
