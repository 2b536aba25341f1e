"""The objective of the second stage, on coordinates that are parameters themselves."""

import numpy as np
import pytest
import torch

from transpose.errors import TransposeError
from transpose.geometry import Camera
from transpose.geometry.poses import Pose, compose, invert
from transpose.losses.cells import Cells
from transpose.losses.uncertainty import PredictedUncertainty, Uncertainty
from transpose.models.networks import build_network
from transpose.training.config import Through
from transpose.training.end_to_end import EndToEndPoseLoss
from transpose.training.objectives import Likelihood
from transpose.training.second_stage import EndToEndConfig, HeadEndToEndConfig, second_stage_config
from transpose.training.view_table import ViewTable
from transpose.worlds.viewpoints import rotation_from_angles

CAMERA = Camera.from_focal(500.0, 640, 480)
CELLS = 120


def views(count: int, seed: int = 0) -> Cells:
    """Cells of cameras that look at points two to four metres off."""
    rng = np.random.default_rng(seed)
    table = ViewTable.empty(count)
    points, pixels = [], []
    for view in range(count):
        R_wc_33 = rotation_from_angles(rng.uniform(0, 360), rng.uniform(-70, -25), 0.0)
        pose = Pose(compose(R_wc_33, rng.normal(0, 1, 3)))
        px_n2 = rng.uniform((0, 0), (CAMERA.width, CAMERA.height), (CELLS, 2))
        camera_n3 = CAMERA.unproject(px_n2) * rng.uniform(2, 4, (CELLS, 1))
        points.append(camera_n3 @ pose.R_wc.T + pose.center)
        pixels.append(px_n2)
        table.put(view, pose, CAMERA, np.zeros(3))
    assert np.allclose(invert(pose.T_wc)[:3], table.T_cw_v34[-1], atol=1e-5)
    view_n = torch.arange(count).repeat_interleave(CELLS)
    points_n3, px_n2 = (torch.from_numpy(np.concatenate(each)).float() for each in (points, pixels))
    cells = table.cells(points_n3, px_n2, view_n)
    return Cells(cells.points_n3, cells.px_n2, cells.T_cw_n34, cells.focal_n2, cells.center_n2, images=count)


def objective(through: Through, kind: str = "none", coordinate_weight: float = 0.0) -> EndToEndPoseLoss:
    uncertainty = PredictedUncertainty.for_scene(Uncertainty(kind, "laplace"), 1.0)  # type: ignore[arg-type]
    return EndToEndPoseLoss(through, False, Likelihood(uncertainty, 0), uncertainty, coordinate_weight)


@pytest.mark.parametrize("kind", ["none", "isotropic"])
@pytest.mark.parametrize("through", ["bpnp", "dsac", "epro"])
def test_poses_get_better_through_every_way(through: Through, kind: str) -> None:
    cells = views(3)
    torch.manual_seed(0)
    shift_n3 = torch.tensor([0.08, -0.05, 0.04]) + 0.01 * torch.randn(3 * CELLS, 3)
    logs_nk = torch.full((3 * CELLS, 0 if kind == "none" else 1), -4.0)
    raw_nk = torch.cat([cells.points_n3 + shift_n3, logs_nk], 1).requires_grad_()
    loss, optimizer = objective(through, kind), torch.optim.Adam([raw_nk], 2e-3)
    poses = []
    for step in range(40):
        optimizer.zero_grad()
        loss_b, facts = loss(raw_nk, cells, step)
        loss_b.mean().backward()
        optimizer.step()
        poses.append(float(facts["pose_loss"]))
    assert raw_nk.isfinite().all()
    assert np.mean(poses[-5:]) < 0.7 * poses[0]


def test_a_hopeless_view_does_not_decide() -> None:
    """Of a view whose coordinates are noise the gradient is no larger than of one that is nearly right."""
    cells = views(2, seed=1)
    torch.manual_seed(0)
    noise_n3 = torch.cat([0.02 * torch.randn(CELLS, 3), 3.0 * torch.randn(CELLS, 3)])
    raw_nk = (cells.points_n3 + noise_n3).requires_grad_()
    loss_b, _ = objective("bpnp", coordinate_weight=1.0)(raw_nk, cells, 0)
    loss_b.mean().backward()
    good, hopeless = raw_nk.grad.view(2, -1).norm(dim=1)
    assert hopeless < good


def test_the_unit_of_length_does_not_matter_for_coordinates() -> None:
    cells = views(2, seed=2)
    torch.manual_seed(0)
    noise_n3 = 0.3 * torch.randn(2 * CELLS, 3)
    gradients = []
    for unit in (1.0, 50.0):
        scaled = Cells(
            unit * cells.points_n3,
            cells.px_n2,
            torch.cat([cells.T_cw_n34[:, :, :3], unit * cells.T_cw_n34[:, :, 3:]], 2),
            cells.focal_n2,
            cells.center_n2,
            images=2,
        )
        raw_nk = (scaled.points_n3 + unit * noise_n3).requires_grad_()
        both, pose_alone = (objective("bpnp", coordinate_weight=w)(raw_nk, scaled, 0)[0].sum() for w in (1.0, 0.0))
        gradients.append(torch.autograd.grad(both - pose_alone, raw_nk)[0] * unit)
    assert torch.allclose(*gradients, rtol=0.02, atol=1e-5)


def test_heads_learn_from_views_and_whole_networks_from_images() -> None:
    head = {"width": 8, "blocks": 1, "anchors": 2}
    fast, whole = build_network("fast", head), build_network("dsacstar", {"tiny": True})
    assert isinstance(second_stage_config(fast, None, {}), HeadEndToEndConfig)
    config = second_stage_config(whole, 480, {"steps": 7})
    assert type(config) is EndToEndConfig and (config.height, config.steps, config.way) == (480, 7, "bpnp")
    assert second_stage_config(fast, None, {"rgbd": True}).way == "dsac"
    with pytest.raises(TransposeError, match=r"only heads on frozen features have --passes"):
        second_stage_config(whole, None, {"passes": 2})
    with pytest.raises(TransposeError, match="through dsac only"):
        second_stage_config(fast, None, {"rgbd": True, "through": "bpnp"})
