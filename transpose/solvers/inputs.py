"""What all solvers share where arrays come in and results go out: kinds, precision, devices, and checks.

NumPy arrays or tensors come in, tensors are computed with, and results are of the kind that came. Solvers compute in
float64 on the device of their input; where a device has none (Apple's `mps`), they compute on the CPU and hand back
float32 on that device.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from transpose.solvers.intrinsics import check_intrinsics
from transpose.solvers.lie import compose, orthonormalized
from transpose.solvers.options import PoseEstimate

Array = np.ndarray | Tensor
Kind = TypeVar("Kind", np.ndarray, Tensor)  # of array: what comes in and what goes out

LARGEST = 1e12  # metres or pixels beyond which a number is taken for a mistake, as are NaN and infinity
_RIGID_TOLERANCE = 1e-3


def lacks_float64(device: torch.device) -> bool:
    """Whether a device cannot compute in double precision."""
    return device.type == "mps"


def in_float64(values: Tensor, device: torch.device | None = None) -> Tensor:
    """The values in float64 on a device (their own by default), or on the CPU where it has none; differentiable."""
    device = device or values.device
    home = torch.device("cpu") if lacks_float64(device) else device
    if lacks_float64(values.device):
        return values.cpu().to(home, torch.float64)  # in this order: the device cannot hold the intermediate
    return values.to(home, torch.float64)


def handed_back(values: Tensor, device: torch.device) -> Tensor:
    """A result on the device that the input came from, in float32 where that device has no float64."""
    if lacks_float64(device) and values.dtype == torch.float64:
        values = values.float()
    return values.to(device)


def full_precision(device: torch.device) -> torch.autocast:
    """A context in which a caller's autocast does not reach the solvers' float32."""
    return torch.autocast(device.type, enabled=False)


def as_tensor(name: str, values: Array | Sequence[Any]) -> Tensor:
    """Detached float64 (see `in_float64`) of an array, a tensor, or lists of them or of numbers.

    Raises:
        ValueError: not an array of real numbers.
    """
    return in_float64(as_given(name, values).detach())


def as_given(name: str, values: Array | Sequence[Any]) -> Tensor:
    """The same in the precision and with the gradient that it came with; what is no tensor is not written to.

    Raises:
        ValueError: not an array of real numbers.
    """
    if isinstance(values, (list, tuple)) and values and all(isinstance(each, Tensor) for each in values):
        values = torch.stack(list(values))
    if isinstance(values, Tensor):
        if values.dtype == torch.bool or values.is_complex():
            raise ValueError(f"{name} must hold real numbers, got {values.dtype}; convert it to float")
        return values
    try:
        array = np.asarray(values)
    except ValueError as error:
        raise ValueError(f"{name} must be an array of numbers with rows of one length: {error}") from error
    if array.dtype.kind not in "fiu":
        raise ValueError(f"{name} must hold real numbers, got dtype {array.dtype}; convert it to float")
    precision = array.dtype if array.dtype in (np.float32, np.float64) else np.dtype(np.float64)
    # PyTorch takes no foreign byte order, and warns of arrays that may not be written to.
    return torch.from_numpy(np.require(array, precision.newbyteorder("="), ("C", "W")))


def one_image(px: Tensor, points: Tensor) -> tuple[Tensor, Tensor]:
    """OpenCV's columns, (n, 1, 2) and (n, 1, 3), as (n, 2) and (n, 3), also only one of both; all else as it is."""
    columns = [each.ndim == 3 and each.shape[1] == 1 != len(each) for each in (px, points)]
    rows = [each.ndim == 2 for each in (px, points)]
    if any(columns) and all(column or row for column, row in zip(columns, rows, strict=True)):
        return px.flatten(0, -2), points.flatten(0, -2)
    return px, points


def in_kind_of(given: Array, estimate: PoseEstimate) -> PoseEstimate:
    """The estimate with its mask and covariance as NumPy arrays where `given` is one, else as tensors beside it."""

    def out(values: Any) -> Any:
        if not isinstance(values, Tensor):
            return values
        # Cloned: what was made in inference mode may take part in no later gradient.
        return handed_back(values.clone(), given.device) if isinstance(given, Tensor) else values.cpu().numpy()

    return replace(estimate, inlier_mask_n=out(estimate.inlier_mask_n), covariance_66=out(estimate.covariance_66))


def pixel_input(
    px_bn2: Array, points_bn3: Array, K_b33: Array, weights_bn: Array | None
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Checked pixels, points, K_b33 and weights in float64 on the points' device; pairs not finite weigh nothing.

    Raises:
        ValueError: shapes that do not fit, negative weights, or intrinsics that are none.
    """
    px_bn2, points_bn3, K_b33 = as_given("px", px_bn2), as_given("points", points_bn3), as_given("K", K_b33)
    if px_bn2.ndim != 3 or px_bn2.shape[2] != 2 or points_bn3.shape != (*px_bn2.shape[:2], 3):
        raise ValueError(
            f"need px (b, n, 2) and points (b, n, 3), got {tuple(px_bn2.shape)}, {tuple(points_bn3.shape)}"
        )
    b, n, _ = px_bn2.shape
    check_intrinsics(in_float64(K_b33.detach()), b, skew=True)
    points = in_float64(points_bn3)
    px, K = in_float64(px_bn2, points.device), in_float64(K_b33, points.device).expand(b, 3, 3)
    weights = torch.ones_like(px[..., 0])
    if weights_bn is not None:
        weights = in_float64(as_given("weights", weights_bn), points.device)
    if weights.shape != (b, n):
        raise ValueError(f"need weights ({b}, {n}), got {tuple(weights.shape)}")
    if bool((weights.detach() < 0).any()):
        raise ValueError(f"weights must not be negative, got {float(weights.detach().min())}")
    usable_bn = (px.detach().abs() < LARGEST).all(2) & (points.detach().abs() < LARGEST).all(2)
    usable_bn = usable_bn & (weights.detach() < LARGEST)
    return stood_in(px, usable_bn), stood_in(points, usable_bn), K, torch.where(usable_bn, weights, 0.0)


def stood_in(values_bnc: Tensor, usable_bn: Tensor) -> Tensor:
    """Values of which those that are not usable are replaced by their image's first usable ones, without gradient.

    So they lie among the others, which the world's zero may be far from; zero where an image has none.
    """
    if values_bnc.shape[1] == 0:
        return values_bnc
    first_b = usable_bn.to(torch.uint8).argmax(1)
    first_b1c = values_bnc.detach()[torch.arange(len(first_b), device=first_b.device), first_b][:, None]
    first_b1c = torch.where(usable_bn.any(1)[:, None, None], first_b1c, 0.0)
    return torch.where(usable_bn[..., None], values_bnc, first_b1c)


def usable_poses(T_b44: Array, device: torch.device | None = None) -> tuple[Tensor, Tensor]:
    """Detached rigid transforms in float64 and which of them were finite; the others become the identity.

    Raises:
        ValueError: a finite one whose upper left is no rotation.
    """
    T_b44 = in_float64(as_given("poses", T_b44).detach(), device)
    finite_b = (T_b44.abs() < LARGEST).flatten(1).all(1)
    eye_44 = torch.eye(4, dtype=T_b44.dtype, device=T_b44.device)
    T_b44 = torch.where(finite_b[:, None, None], T_b44, eye_44)
    R_b33 = T_b44[:, :3, :3]
    defect_b = (R_b33 @ R_b33.transpose(1, 2) - eye_44[:3, :3]).abs().flatten(1).amax(1)
    if bool(((defect_b > _RIGID_TOLERANCE) | (torch.linalg.det(R_b33) < 0)).any()):
        raise ValueError(f"poses must be rigid 4x4 transforms; R R^T is off by up to {float(defect_b.max()):.3g}")
    return compose(orthonormalized(R_b33), T_b44[:, :3, 3]), finite_b  # float32 seeds have seven digits


def true_poses(T_wc_b44: Array, b: int, device: torch.device) -> Tensor:
    """Detached, rigid poses (b, 4, 4) of which all must be finite.

    Raises:
        ValueError: another shape, or poses that are none.
    """
    T_wc_b44 = as_given("true poses", T_wc_b44)
    if T_wc_b44.shape != (b, 4, 4):
        raise ValueError(f"need true poses ({b}, 4, 4), got {tuple(T_wc_b44.shape)}")
    truth_b44, finite_b = usable_poses(T_wc_b44, device)
    if not bool(finite_b.all()):
        raise ValueError("true poses must be finite; leave images without one out of the batch")
    return truth_b44


def on_a_line(points_b3n: Tensor, usable_bn: Tensor) -> Tensor:
    """Whether all usable points (b) of an image lie on a line or in one place, up to rounding."""
    step = max(1, points_b3n.shape[2] // 128)
    flat_b = _flat(points_b3n[..., ::step], usable_bn[:, ::step])
    return _flat(points_b3n, usable_bn) if step > 1 and bool(flat_b.any()) else flat_b


def _flat(points_b3n: Tensor, usable_bn: Tensor) -> Tensor:
    weight_b1n = usable_bn[:, None].to(points_b3n.dtype)
    count_b11 = weight_b1n.sum(2, keepdim=True).clamp_min(1)
    mean_b31 = (points_b3n * weight_b1n).sum(2, keepdim=True) / count_b11
    offset_b3n = (points_b3n - mean_b31) * weight_b1n
    # A single point far away must not make a line of all others: each counts by its direction.
    length_b1n = offset_b3n.square().sum(1, keepdim=True).sqrt()
    rounding_b11 = 1e-13 * (points_b3n.abs() * weight_b1n).amax((1, 2), keepdim=True)
    direction_b3n = offset_b3n / length_b1n.clamp_min(rounding_b11.clamp_min(1e-300))
    spread_b3 = torch.linalg.eigvalsh(direction_b3n @ direction_b3n.mT)
    return spread_b3[:, 1] <= 1e-12 * spread_b3[:, 2].clamp_min(1e-300)


def check_shapes(px: Tensor, points: Tensor) -> None:
    """Refuses what are no pixels and points of one image or several; raises `ValueError` with the remedy."""
    if px.ndim not in (2, 3) or px.shape[-1] != 2 or points.shape != (*px.shape[:-1], 3):
        raise ValueError(
            "need px (n, 2) and points (n, 3), or (b, n, 2) and (b, n, 3), "
            f"got {tuple(px.shape)} and {tuple(points.shape)}{_remedy_of_shapes(px, points)}"
        )


def _remedy_of_shapes(px: Tensor, points: Tensor) -> str:
    if px.shape[-1:] == (3,) and points.shape[-1:] == (2,):
        return "; pixels come first, then points"
    if px.shape[-1:] == (3,) or points.shape[-1:] == (4,):
        return "; homogeneous ones are to be divided by their last number, which is left out then"
    if px.ndim == 2 and px.shape[0] == 2 and points.shape[:1] == (3,):
        return "; pass their transposes"
    return ""
