"""The service as a client sees it."""

from __future__ import annotations

import io
import json
import struct
import tempfile
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from tests.evaluation.stubs import Plain, Stub, make_results
from tests.serving.conftest import REFUSED, photo
from transpose.errors import TransposeError
from transpose.localization import Query
from transpose.localization.answered import Answer, as_json
from transpose.scenes.unit import SceneUnit
from transpose.serving.api import make_app
from transpose.serving.limits import Limits
from transpose.solvers import PoseEstimate
from transpose.worlds.world import World, save_world

ADDRESS = "http://127.0.0.1:8000"


def client(*places: Any, limits: Limits | None = None, key: str = "") -> TestClient:
    return TestClient(make_app(places, limits, key), base_url=ADDRESS)


def png_header(width: int, height: int) -> bytes:
    body = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + body + struct.pack(">I", zlib.crc32(body)) + b"\0" * 64


class Sure(Plain):
    """As sure as is said."""

    def __init__(self, confidence: float) -> None:
        super().__init__()
        self._confidence = confidence

    def localize_query(self, query: Query, seed: int = 0) -> PoseEstimate:
        return replace(make_results(1, ())[0].estimate, confidence=self._confidence)


def test_the_answer_is_the_line_of_localize(place: Callable[..., Any]) -> None:
    with client(place()) as service:
        said = service.post("/localize", files={"image": ("a b.png", photo(1))}, data={"focal": "60"}).json()
    method = Plain()
    query = Query.of(method.camera, np.full((48, 64, 3), 40, np.uint8), focal_px=60.0)
    estimate = method.localize_query(query)
    line = json.loads(json.dumps(as_json(Answer.of("a b.png", query, estimate, 0.0), estimate, 0.0, method.checkpoint)))
    assert {**said, "seconds": 0.0, **line} == {**said, "seconds": 0.0}
    assert set(said) - set(line) == {"run", "run_version", "others", "view", "on_map"}
    assert said["run"] == "house" and said["others"] == [] and said["camera"]["source"] == "option"


def test_a_refusal_is_an_answer(place: Callable[..., Any]) -> None:
    with client(place()) as service:
        said = service.post("/localize", files={"image": ("x.png", photo(REFUSED))})
    assert said.status_code == 200 and said.json()["pose"] is None and said.json()["reason"] == "no_consensus"


def test_the_surest_run_answers(place: Callable[..., Any]) -> None:
    places = [place(name, method=Sure(sure)) for name, sure in (("a", 0.96), ("b", 0.99), ("c", 0.97))]
    with client(*places) as service:
        said = service.post("/localize", files={"image": ("x.png", photo(1))}).json()
        assert said["run"] == "b" and [each["run"] for each in said["others"]] == ["c", "a"]
        chosen = service.post("/localize", files={"image": ("x.png", photo(1))}, data={"run": "a"}).json()
        assert chosen["run"] == "a" and chosen["others"] == []
        lost = service.post("/localize", files={"image": ("x.png", photo(1))}, data={"run": "d"})
        assert lost.status_code == 404 and "a, b, c" in lost.json()["detail"]


def test_one_broken_photo_costs_no_other_of_a_batch(place: Callable[..., Any]) -> None:
    sent = [("images", (f"{i}.png", data)) for i, data in enumerate((photo(1), b"%PDF-1.7 no photo", photo(2)))]
    with client(place(), limits=Limits(batch=3)) as service:
        answers = service.post("/localize/batch", files=sent).json()["answers"]
        assert [each["image"] for each in answers] == ["0.png", "1.png", "2.png"]
        assert answers[0]["pose"] and answers[2]["pose"] and "PDF" in answers[1]["error"]
        assert service.post("/localize/batch", data={"focal": "60"}).status_code == 422
        assert service.post("/localize/batch", files={"other": photo(1)}).status_code == 422
        assert service.post("/localize/batch", files=[*sent, *sent]).status_code == 400


@pytest.mark.parametrize(
    ("name", "data", "says"),
    [
        ("bomb.png", png_header(60_000, 60_000), "60000 x 60000 pixels"),
        ("paper.jpg", b"%PDF-1.7\n", "PDF"),
        ("phone.heic", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIC"),
        ("cut.png", photo(1)[:60], "truncated"),
        ("empty.jpg", b"", "empty"),
        ("page.jpg", b"<html>no</html>", "text"),
    ],
)
def test_what_is_no_photo_is_told_why(place: Callable[..., Any], name: str, data: bytes, says: str) -> None:
    with client(place()) as service:
        said = service.post("/localize", files={"image": (name, data)})
    assert said.status_code == 422 and says in said.json()["detail"] and name in said.json()["detail"]


def test_fields_that_make_no_sense(place: Callable[..., Any]) -> None:
    wrong = [{"focal": said} for said in ("-3", "nan", "wide", "0.5", "1e300")]
    wrong += [{"prior": "[1]"}, {"prior": "{"}]
    wrong += [{"risk": said} for said in ("0", "1", "-0.1", "nan", "inf", "5%")]
    wrong += [{"prior": json.dumps(np.diag([1, 1, -1, 1]).tolist())}, {"prior": "[" * 5000}]
    with client(place()) as service:
        for fields in wrong:
            said = service.post("/localize", files={"image": ("x.png", photo(1))}, data=fields)
            assert said.status_code == 422 and next(iter(fields)) in said.json()["detail"], fields
        good = {"focal": "auto", "risk": "0.01", "prior": json.dumps(np.eye(4).tolist())}
        assert service.post("/localize", files={"image": ("x.png", photo(1))}, data=good).status_code == 200
        as_file = {"image": ("x.png", photo(1)), "focal": ("f.txt", b"500")}
        assert "focal is a field" in service.post("/localize", files=as_file).json()["detail"]
        assert service.post("/localize", content=b"x").status_code == 415
        broken = {"content-type": "multipart/form-data; boundary=x"}
        assert service.post("/localize", content=b"--x\r\nno", headers=broken).status_code in (400, 422)


def test_depth_comes_with_a_photo(place: Callable[..., Any]) -> None:
    file = io.BytesIO()
    Image.fromarray(np.full((48, 64), 2000, np.uint16)).save(file, "PNG")
    asked: list[Query] = []

    class Noting(Stub):
        def localize_query(self, query: Query, seed: int = 0) -> PoseEstimate:
            asked.append(query)
            return super().localize_query(query, seed)

    with client(place(method=Noting())) as service:
        sent = {"image": ("x.png", photo(1)), "depth": ("d.png", file.getvalue())}
        assert service.post("/localize", files=sent).status_code == 200
        assert asked[0].depth_hw is not None and np.allclose(asked[0].depth_hw, 2.0)
        wrong = service.post("/localize", files={**sent, "depth": ("d.png", photo(1))})
        assert wrong.status_code == 422 and "depth" in wrong.json()["detail"]
    own_unit = Stub()
    own_unit.checkpoint = replace(own_unit.checkpoint, unit=SceneUnit(False, 3.0, 0.3))
    for method, says in ((Plain(), "predicts none"), (own_unit, "depth is in metres")):
        with client(place(method=method)) as service:
            said = service.post("/localize", files=sent)
            assert said.status_code == 422 and says in said.json()["detail"]


def test_a_risk_is_that_of_one_request(place: Callable[..., Any]) -> None:
    asked: list[float | None] = []

    class Noting(Plain):
        def localize_query(self, query: Query, seed: int = 0) -> PoseEstimate:
            asked.append(query.risk)
            return super().localize_query(query, seed)

    silent = Noting()
    with client(place(method=Noting()), place("other", method=silent)) as service:
        for risk in ("0.2", ""):
            fields = {"run": "house", "risk": risk}
            assert service.post("/localize", files={"image": ("x.png", photo(1))}, data=fields).status_code == 200
        assert asked == [0.2, None]
        many = [("images", (f"{i}.png", photo(i))) for i in (1, 2)]
        assert service.post("/localize/batch", files=many, data={"run": "house", "risk": "0.3"}).status_code == 200
        assert asked[2:] == [0.3, 0.3]
        silent.checkpoint = replace(silent.checkpoint, kind="retrieval")
        said = service.post("/localize", files={"image": ("x.png", photo(1))}, data={"risk": "0.2"})
        assert (
            said.status_code == 422 and "'retrieval' does not say how sure it is; leave risk" in said.json()["detail"]
        )


def test_large_requests_are_turned_away_unread(place: Callable[..., Any]) -> None:
    with client(place(), limits=Limits(megabytes=0.01)) as service:
        data = np.random.default_rng(0).bytes(20_000)
        assert service.post("/localize", files={"image": ("x.png", data)}).status_code == 413
        chunked = service.post(
            "/localize", content=iter([data]), headers={"content-type": "multipart/form-data; boundary=x"}
        )
        assert chunked.status_code in (400, 413)
        assert service.post("/localize", files={"image": ("x.png", photo(1))}).status_code == 200


def test_nothing_that_is_sent_reaches_the_disk(place: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a file was written")

    monkeypatch.setattr(tempfile.SpooledTemporaryFile, "rollover", refuse)
    noise_hw3 = np.random.default_rng(0).integers(0, 255, (1000, 1000, 3)).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(noise_hw3).save(file, "PNG")
    assert len(file.getvalue()) > 2 << 20
    with client(place()) as service:
        assert service.post("/localize", files={"image": ("x.png", file.getvalue())}).status_code == 200


def test_the_key_is_asked_for(place: Callable[..., Any]) -> None:
    with client(place(), key="schl\u00fcssel") as service:
        assert service.get("/runs", headers={"X-API-Key": "schl\u00fcssel".encode()}).status_code == 200
        assert service.get("/runs", headers={"X-API-Key": "schl\u00fcssel".encode("latin-1")}).status_code == 200
        assert service.get("/runs", headers={"X-API-Key": "schlussel"}).status_code == 401
    with client(place(), key="secret") as service:
        assert service.get("/runs").status_code == 401
        assert service.get("/runs", headers={"X-API-Key": "secre"}).status_code == 401
        assert service.get("/runs", headers={"X-API-Key": "secret"}).status_code == 200
        assert service.get("/runs", headers={"Authorization": "Bearer secret"}).status_code == 200
        assert service.get("/healthz").status_code == 200
        assert service.get("/").status_code == 200


def test_pages_of_other_sites_may_not_ask(place: Callable[..., Any]) -> None:
    with client(place()) as service:
        assert service.get("/runs", headers={"Origin": "https://elsewhere.example"}).status_code == 403
        assert service.get("/runs", headers={"Origin": ADDRESS}).status_code == 200


def test_the_page_names_no_address_but_its_own(place: Callable[..., Any]) -> None:
    with client(place()) as service:
        for path in ("/", "/page.js", "/page.css"):
            page = service.get(path)
            assert "default-src 'none'" in page.headers["content-security-policy"]
            outside = page.text.replace("http://www.w3.org/2000/svg", "")
            assert "http:" not in outside and "https:" not in outside and "innerHTML" not in page.text


def test_model_and_map(place: Callable[..., Any], world: Path) -> None:
    with client(place(world=world)) as service:
        facts = service.get("/runs").json()[0]
        assert facts["drawn"] and facts["map"]["width"] > 1
        said = service.post("/localize", files={"image": ("x.png", photo(1))}).json()
        view = service.get(f"/views/{said['view']}")
        assert view.headers["content-type"] == "image/jpeg" and Image.open(io.BytesIO(view.content)).size == (64, 48)
        plan = service.get("/runs/house/map")
        assert Image.open(io.BytesIO(plan.content)).mode == "RGBA"
        assert 0 < said["on_map"]["x"] < 1 and 0 < said["on_map"]["y"] < 1 and said["on_map"]["ellipse"]["major"] > 0
        assert service.get("/views/none").status_code == 404
        refused = service.post("/localize", files={"image": ("x.png", photo(REFUSED))}).json()
        assert refused["view"] is None and refused["on_map"] is None


def test_without_a_world_nothing_is_drawn(place: Callable[..., Any]) -> None:
    with client(place()) as service:
        assert service.get("/runs").json()[0]["drawn"] is False
        assert service.post("/localize", files={"image": ("x.png", photo(1))}).json()["view"] is None
        assert service.get("/runs/house/map").status_code in (200, 404)


def test_a_run_that_is_replaced_is_loaded_anew(place: Callable[..., Any]) -> None:
    served, loaded, versions = place(), [], []
    methods = iter([Sure(0.5), TransposeError("it is broken")])

    def load(folder: Path) -> Plain:
        loaded.append(folder)
        method = next(methods)
        if isinstance(method, TransposeError):
            raise method
        return method

    served.load = load
    with client(served) as service:
        for touches in range(3):  # not at all, by a good run, by a broken one
            if touches:
                model = served.folder / "model.pt"
                model.write_bytes(model.read_bytes() + b"\0" * touches)
            said = service.post("/localize", files={"image": ("x.png", photo(1))}).json()
            assert said["confidence"] == (None, 0.5, 0.5)[touches] and len(loaded) == touches
            assert said["run_version"] == service.get("/runs").json()[0]["version"] not in versions
            versions.append(said["run_version"])
        service.post("/localize", files={"image": ("x.png", photo(1))})
        assert len(loaded) == 2  # a broken one is not tried again and again


def test_the_world_of_a_run_that_is_replaced_is_loaded_anew(
    place: Callable[..., Any], world: Path, box_world: World
) -> None:
    """Its model, built anew at the same place, and the map that is drawn of it."""
    served = place(world=world)
    with client(served) as service:
        before = service.get("/runs/house/map").content
        save_world(replace(box_world, vertices_v3=2 * box_world.vertices_v3), world)
        (served.folder / "model.pt").write_bytes((served.folder / "model.pt").read_bytes() + b"\0")
        assert service.get("/runs").json()[0]["drawn"]
        assert served.renderer.world.vertices_v3.max() == 2 * box_world.vertices_v3.max()
        assert service.get("/runs/house/map").content != before


def test_metrics_count(place: Callable[..., Any]) -> None:
    with client(place()) as service:
        for index in (1, REFUSED, 2):
            service.post("/localize", files={"image": ("x.png", photo(index))})
        text = service.get("/metrics").text
    assert 'transpose_photos_total{outcome="located",run="house"} 2.0' in text
    assert 'transpose_photos_total{outcome="refused",run="house"} 1.0' in text
    assert "transpose_photo_seconds_count 3.0" in text and "transpose_waiting 0.0" in text
