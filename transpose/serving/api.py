"""The HTTP service: photos in, the JSON of `transpose localize` out, and the page that does so for a person."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from importlib import resources
from typing import Any, TypeVar

from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse

from transpose.errors import TransposeError
from transpose.serving import schema
from transpose.serving.forms import Form, read_form
from transpose.serving.guards import Guards
from transpose.serving.limits import Limits
from transpose.serving.metrics import Metrics
from transpose.serving.places import Found, Place, ask
from transpose.serving.uploads import Upload, read_upload
from transpose.serving.views import Views, drawn, map_picture
from transpose.serving.work import ClientGoneError, TooManyWaitingError, TooSlowError, Work

T = TypeVar("T")
_RETRY_S = "2"
_GONE = 499  # which nobody reads
_FILES = {
    "/": ("page.html", "text/html"),
    "/page.js": ("page.js", "text/javascript"),
    "/page.css": ("page.css", "text/css"),
}


class Service:
    """What the endpoints share.

    Args:
        places: the runs that are served, at least one.
        limits: of requests.
    """

    def __init__(self, places: Sequence[Place], limits: Limits) -> None:
        self.places = {place.name: place for place in places}
        self.limits, self.views, self.metrics = limits, Views(), Metrics()
        self.work = Work(limits.waiting, limits.seconds)

    async def do(self, job: Callable[[], T], request: Request) -> T:
        """A job in its turn; HTTP's errors where it gets none, was asked in vain, or its client goes away."""
        try:
            return await self.work.do(job, partial(_gone, request))
        except ClientGoneError:
            raise HTTPException(_GONE, "the client went away") from None
        except TooManyWaitingError:
            raise HTTPException(429, "too many photos wait; come again", {"Retry-After": _RETRY_S}) from None
        except TooSlowError:
            raise HTTPException(504, f"no answer within {self.limits.seconds:g} s") from None
        except TransposeError as error:
            raise HTTPException(422, str(error)) from None

    def chosen(self, name: str) -> list[Place]:
        """The place of a name, or all; 404 for a name that none has."""
        if not name:
            return list(self.places.values())
        return [self.place(name)]

    def place(self, name: str) -> Place:
        """The place of a name; 404 where none has it."""
        if name not in self.places:
            raise HTTPException(404, f"no run is called {name[:100]!r}; there are: {', '.join(self.places)}")
        return self.places[name]

    def localized(self, places: Sequence[Place], read: Callable[[], Upload]) -> dict[str, Any]:
        """The answer to one photo: of the surest run, with what the others say."""
        started = time.perf_counter()
        best, *others = ask(places, read())
        self.metrics.count(best.place.name, best.estimate.is_located, time.perf_counter() - started)
        return {
            **best.as_json(),
            "others": [_short(found) for found in others],
            "view": self.views.remember(best),
        }


def make_app(places: Sequence[Place], limits: Limits | None = None, key: str = "") -> FastAPI:
    """The service as an ASGI application.

    Args:
        places: the runs that are served, at least one.
        limits: of requests.
        key: that clients must send; empty: none.
    """
    service = Service(places, limits or Limits())

    @asynccontextmanager
    async def alive(_: FastAPI) -> AsyncIterator[None]:
        yield
        service.work.close()

    app = FastAPI(title="TransPose", lifespan=alive, docs_url=None, redoc_url=None, description=__doc__)
    app.add_middleware(Guards, body_bytes=service.limits.body_bytes, key=key)
    _add_localizing(app, service)
    _add_looking(app, service)
    _add_page(app)
    return app


def _add_localizing(app: FastAPI, service: Service) -> None:
    limits = service.limits

    @app.post("/localize", responses=schema.ANSWER, openapi_extra=schema.one_photo())
    async def localize(request: Request) -> JSONResponse:
        """Where one photo was taken."""
        form = await read_form(request, limits.body_bytes, most_files=2)
        sent = form.files.get("image", [])
        if len(sent) != 1:
            raise HTTPException(422, "send one photo as the form's field image")
        depth = form.files.get("depth", [("", b"")])[0][1]
        read = partial(_read, form, *sent[0], limits, depth)
        places = service.chosen(form.values.get("run", ""))
        return JSONResponse(await service.do(partial(service.localized, places, read), request))

    @app.post("/localize/batch", responses=schema.ANSWERS, openapi_extra=schema.photos())
    async def localize_batch(request: Request) -> JSONResponse:
        """Where each of several photos was taken; one that cannot be read is an answer with an error."""
        form = await read_form(request, limits.body_bytes, most_files=limits.batch)
        sent = form.files.get("images", [])
        if not sent:
            raise HTTPException(422, f"send 1 to {limits.batch} photos as the form's fields images")
        places = service.chosen(form.values.get("run", ""))
        answers = []
        for name, data in sent:  # photo by photo, so that others get their turn in between
            try:
                job = partial(service.localized, places, partial(_read, form, name, data, limits))
                answers.append(await service.do(job, request))
            except HTTPException as error:
                if error.status_code != 422:
                    raise
                answers.append({"image": name, "pose": None, "reason": f"error: {error.detail}", "error": error.detail})
        return JSONResponse({"answers": answers})


def _add_looking(app: FastAPI, service: Service) -> None:
    @app.get("/runs", responses=schema.RUNS)
    async def runs(request: Request) -> JSONResponse:
        """The runs that are served, and what is known of their places."""
        return JSONResponse(await service.do(lambda: [place.facts() for place in service.places.values()], request))

    @app.get("/runs/{name}/map", responses=schema.PICTURE)
    async def map_of(name: str, request: Request) -> Response:
        """A place from above, PNG."""
        data = await service.do(partial(map_picture, service.place(name)), request)
        if data is None:
            raise HTTPException(404, f"there is no map of {name}")
        return Response(data, media_type="image/png")

    @app.get("/views/{token}", responses=schema.PICTURE)
    async def view(token: str, request: Request) -> Response:
        """The model from where a photo was taken, JPEG; `token` is "view" of an answer, one of the last."""
        found = service.views.of(token)
        if found is None:
            raise HTTPException(404, "this view is not remembered any more; send the photo again")
        return Response(await service.do(partial(drawn, found), request), media_type="image/jpeg")

    @app.get("/healthz")
    async def healthz() -> dict[str, Any]:
        """Whether the service answers, and how many requests wait."""
        return {"status": "ok", "runs": len(service.places), "waiting": service.work.waiting}

    @app.get("/metrics", response_class=PlainTextResponse)
    async def metrics() -> Response:
        """Counts and times in Prometheus' text form."""
        return Response(service.metrics.text(service.work.waiting), media_type=service.metrics.media_type)


def _add_page(app: FastAPI) -> None:
    folder = resources.files("transpose.serving")
    for path, (name, kind) in _FILES.items():
        text = folder.joinpath(name).read_text(encoding="utf-8")
        app.add_api_route(path, partial(_sent, text, kind), include_in_schema=False)


async def _gone(request: Request) -> None:
    """Returns when the client has closed the connection; what it sent was read before, or is of no interest."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _sent(text: str, kind: str) -> Response:
    return Response(text, media_type=f"{kind}; charset=utf-8")


def _read(form: Form, name: str, data: bytes, limits: Limits, depth: bytes = b"") -> Upload:
    focal, prior, risk = (form.values.get(field, "") for field in ("focal", "prior", "risk"))
    return read_upload(name, data, limits, focal, depth, prior, risk)


def _short(found: Found) -> dict[str, Any]:
    estimate = found.estimate
    return {"run": found.place.name, "reason": estimate.reason, "confidence": estimate.confidence}
