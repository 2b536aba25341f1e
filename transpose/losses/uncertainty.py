"""The predicted uncertainty of a network's points: its forms, its likelihood, its covariances in metres.

Raw outputs become a factor W of a precision: (W^T W)^-1 is the scale matrix of the error d, and q = W d is white.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

Kind = Literal["none", "isotropic", "diagonal", "full"]
Tail = Literal["gaussian", "laplace", "student"]
_CHANNELS = {"none": 0, "isotropic": 1, "diagonal": 3, "full": 6}
_TINY = 1e-12  # metres squared: keeps the derivative of a length defined at zero
_MOST_SHEAR = 5.0  # off-diagonal entries of W, in units of its diagonal's
_LOG_LIMITS = (-16.10, 13.82)  # CrossLoc's
# In three dimensions exp(-|q|) has E[|q|^2] = 12, a third of it an axis.
LAPLACE_VARIANCE_PER_AXIS = 4.0


@dataclass(frozen=True)
class Uncertainty:
    """The form of a predicted uncertainty.

    Attributes:
        kind: "none"; "isotropic": one scale a cell; "diagonal": one across and one across and one along the viewing
            ray; "full": a whole covariance in world axes.
        tail: "gaussian"; "laplace" and "student" are heavier, so that wrong labels and places that look alike do not
            dominate the gradient.
        dof: degrees of freedom of Student's t.
    """

    kind: Kind = "isotropic"
    tail: Tail = "gaussian"
    dof: float = 5.0

    def __post_init__(self) -> None:
        if self.kind not in _CHANNELS or self.tail not in ("gaussian", "laplace", "student"):
            raise ValueError(f"uncertainty is one of {', '.join(_CHANNELS)}, its tail gaussian, laplace or student")
        if not self.dof > 2:
            raise ValueError(f"Student's t has a covariance with more than 2 degrees of freedom, got {self.dof}")

    @property
    def channels(self) -> int:
        """Outputs a cell."""
        return _CHANNELS[self.kind]

    @property
    def variance_per_scale(self) -> float:
        """The covariance over the scale matrix."""
        if self.tail == "laplace":
            return LAPLACE_VARIANCE_PER_AXIS
        return self.dof / (self.dof - 2) if self.tail == "student" else 1.0


@dataclass(frozen=True)
class PredictedUncertainty:
    """How a run's raw outputs are read as covariances.

    Attributes:
        of: their form.
        log_bounds: least and largest log of a scale in metres; None: outputs are logs as they come, from 1e-7 to 1e6 m.
        temperature: factor on the covariances, from validation.
    """

    of: Uncertainty
    log_bounds: tuple[float, float] | None = None
    temperature: float = 1.0

    @classmethod
    def for_scene(cls, of: Uncertainty, std_m: float) -> PredictedUncertainty:
        """Scales between a thousandth and ten times the scene's standard deviation."""
        log_std = float(torch.tensor(std_m).clamp_min(1e-6).log())
        return cls(of, (log_std - 6.9, log_std + 2.3))

    @classmethod
    def from_state(cls, state: dict[str, Any], temperature: float = 1.0) -> PredictedUncertainty:
        """What `state` was taken of, with the temperature that was found later."""
        bounds = state.get("log_bounds")
        of = Uncertainty(state["kind"], state["tail"], state.get("dof") or 5.0)
        return cls(of, None if bounds is None else (bounds[0], bounds[1]), temperature)

    def state(self) -> dict[str, Any]:
        """Plain values for a checkpoint."""
        bounds = None if self.log_bounds is None else list(self.log_bounds)
        return {"kind": self.of.kind, "tail": self.of.tail, "dof": self.of.dof, "log_bounds": bounds}

    def factor(self, raw_nk: Tensor, rays_n3: Tensor, R_wc_n33: Tensor, tied: bool = False) -> Tensor:
        """W (n, 3, 3), of errors in world axes; the identity without a prediction.

        Args:
            raw_nk: the network's outputs.
            rays_n3: viewing rays in the camera frame.
            R_wc_n33: camera to world.
            tied: one scale in all directions, the mean of their logs: before their differences are learned.
        """
        if self.of.kind == "none":
            return torch.eye(3, dtype=raw_nk.dtype, device=raw_nk.device).expand(len(raw_nk), 3, 3)
        logs_nk = self._logs(raw_nk[:, :3])
        if tied or self.of.kind == "isotropic":
            return torch.diag_embed(torch.exp(-logs_nk.mean(1, keepdim=True)).expand(-1, 3))
        if self.of.kind == "diagonal":
            axes_n33 = R_wc_n33 @ ray_frames(rays_n3)
            return torch.exp(-logs_nk)[:, :, None] * axes_n33.mT
        return self._full_factor(raw_nk)

    def _full_factor(self, raw_nk: Tensor) -> Tensor:
        """In the world's axes, whatever the camera's."""
        scale_nk = torch.exp(-self._logs(raw_nk[:, :3]))
        shear_n3 = _MOST_SHEAR * torch.tanh(raw_nk[:, 3:] / _MOST_SHEAR)
        zero_n = torch.zeros_like(shear_n3[:, 0])
        one_n = torch.ones_like(zero_n)
        rows = [one_n, zero_n, zero_n, shear_n3[:, 0], one_n, zero_n, shear_n3[:, 1], shear_n3[:, 2], one_n]
        return scale_nk[:, :, None] * torch.stack(rows, 1).unflatten(1, (3, 3))

    def covariance(self, raw_nk: Tensor, rays_n3: Tensor, R_wc_n33: Tensor) -> Tensor:
        """Of the points, world axes, (n, 3, 3), metres squared."""
        return self._covariance(self.factor(raw_nk, rays_n3, R_wc_n33))

    def isotropic_covariance(self, raw_nk: Tensor) -> Tensor:
        """The mean of its variances in all directions: for use before the camera's rotation is known."""
        if self.of.kind == "full":
            variance_n = self._covariance(self._full_factor(raw_nk)).diagonal(dim1=1, dim2=2).mean(1)
        else:
            variance_n = torch.exp(2 * self._logs(raw_nk[:, :3])).mean(1)
            variance_n = variance_n * (self.of.variance_per_scale * self.temperature)
        return torch.diag_embed(variance_n[:, None].expand(-1, 3))

    def _covariance(self, factor_n33: Tensor) -> Tensor:
        eye_n33 = torch.eye(3, dtype=factor_n33.dtype, device=factor_n33.device).expand_as(factor_n33)
        if self.of.kind == "full":
            root_n33 = torch.linalg.solve_triangular(factor_n33, eye_n33, upper=False)
        else:
            # Rows of W are orthogonal: its inverse is its transpose over their squared lengths.
            root_n33 = factor_n33.mT / factor_n33.square().sum(2)[:, None]
        return root_n33 @ root_n33.mT * (self.of.variance_per_scale * self.temperature)

    def _logs(self, raw_nk: Tensor) -> Tensor:
        if self.log_bounds is None:
            return raw_nk.clamp(*_LOG_LIMITS)
        low, high = self.log_bounds
        # A sigmoid, not a clamp: where a clamp holds, no gradient leads back.
        return low + (high - low) * torch.sigmoid(4 * raw_nk / (high - low))


def nll(error_n3: Tensor, factor_n33: Tensor, of: Uncertainty) -> Tensor:
    """Negative log-likelihood (n,) of errors d: tail(|W d|^2) - log det W, constants left out; |d| without W.

    Args:
        error_n3: prediction minus label, world axes, metres.
        factor_n33: of `PredictedUncertainty.factor`; triangular, or a diagonal times a rotation.
        of: the form.
    """
    if of.kind == "none":
        return (error_n3.square().sum(1) + _TINY).sqrt()
    square_n = (factor_n33 @ error_n3[..., None])[..., 0].square().sum(1)
    if of.tail == "laplace":
        cost_n = (square_n + _TINY).sqrt()
    elif of.tail == "student":
        cost_n = 0.5 * (of.dof + 3) * torch.log1p(square_n / of.dof)
    else:
        cost_n = 0.5 * square_n
    return cost_n - _log_determinant(factor_n33, of)


def _log_determinant(factor_n33: Tensor, of: Uncertainty) -> Tensor:
    if of.kind == "diagonal":
        return 0.5 * factor_n33.square().sum(2).log().sum(1)
    return factor_n33.diagonal(dim1=1, dim2=2).log().sum(1)


def ray_frames(rays_n3: Tensor) -> Tensor:
    """Orthonormal axes (n, 3, 3, columns) of each viewing ray in its camera's frame, the third along the ray.

    The first is the image's x axis as far as the ray allows: smooth over all rays ahead of a camera.
    """
    along_n3 = F.normalize(rays_n3, dim=1)
    x, y, z = along_n3.unbind(1)
    first_n3 = F.normalize(torch.stack([z, torch.zeros_like(y), -x], 1), dim=1)
    return torch.stack([first_n3, torch.linalg.cross(along_n3, first_n3), along_n3], 2)
