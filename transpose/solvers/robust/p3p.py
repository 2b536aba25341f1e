"""Absolute pose from three points (P3P), batched over any number of minimal problems.

The law of cosines gives three quadrics in the three depths d. Eliminating the scale leaves a pencil of two conics over
(d0 : d1 : d2), whose four common points are the solutions. One member of the pencil is a pair of lines, found by a
cubic; each line meets another member in two points (Persson and Nordberg, "Lambda Twist", ECCV 2018; Ding, Yang,
Larsson, Olsson and Astrom, "Revisiting the P3P Problem", CVPR 2023). Everything is homogeneous, so nothing is divided
by a number that may vanish, and there is no branch: a batch costs as many operations as a single problem.

Fields are stored with the batch last (`_h`), which keeps each operation on contiguous memory.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

_BASIS_TURN = 0.83  # rad


def p3p(rays_h33: Tensor, points_h33: Tensor, polish: int = 2) -> tuple[Tensor, Tensor, Tensor]:
    """The poses that see three world points along three rays.

    Args:
        rays_h33: viewing rays in the camera, (problem, point, xyz), of any length.
        points_h33: world points, (problem, point, xyz).
        polish: Newton steps on the depths; each roughly doubles the digits where solutions lie close together.

    Returns:
        `R_cw_h433`, `t_cw_h43`: up to four poses a problem, X_c = R_cw X_w + t_cw; `valid_h4`: which of them are real
        solutions with all points ahead of the camera. Rows that are not valid hold the identity and zero. Problems
        whose points lie on a line or coincide, or that are not finite, have no solution.
    """
    if rays_h33.shape != points_h33.shape or rays_h33.ndim != 3 or rays_h33.shape[1:] != (3, 3):
        raise ValueError(
            f"need rays and points (h, 3, 3), got {tuple(rays_h33.shape)} and {tuple(points_h33.shape)}; "
            "axes are problem, point, xyz"
        )
    poses_344h, valid_4h = p3p_fields(rays_h33.permute(1, 2, 0), points_h33.permute(1, 2, 0), polish)
    R_h433, t_h43 = poses_344h.permute(3, 2, 0, 1).split((3, 1), -1)
    t_h43 = t_h43[..., 0]
    # Rays that coincide stretch the triangle into a line: what comes out is no rotation.
    valid_h4 = valid_4h.T & (torch.linalg.det(R_h433) > 0.5)
    identity_33 = torch.eye(3, dtype=R_h433.dtype, device=R_h433.device)
    return torch.where(valid_h4[..., None, None], R_h433, identity_33), t_h43.where(valid_h4[..., None], 0), valid_h4


def p3p_fields(rays_33h: Tensor, points_33h: Tensor, polish: int = 1) -> tuple[Tensor, Tensor]:
    """`p3p` on fields, for callers with many problems.

    Args:
        rays_33h: (point, xyz, problem), of any length.
        points_33h: (point, xyz, problem).
        polish: Newton steps on the depths.

    Returns:
        `poses_344h`: [R_cw | t_cw] as (row, column, candidate, problem); and `valid_4h`. Candidates that are not valid
        hold anything, also NaN.
    """
    unit_33h = rays_33h * rays_33h.square().sum(1, keepdim=True).rsqrt()
    sides_33h = points_33h.roll(-1, 0) - points_33h  # x1 - x0, x2 - x1, x0 - x2
    squared_3h = sides_33h.square().sum(1)
    cosines_3h = (unit_33h * unit_33h.roll(-1, 0)).sum(1)
    scale_h = squared_3h.sum(0)
    depths_34h, real_4h = _depth_directions(cosines_3h, squared_3h / squared_3h[1])
    # The sum of the three quadrics fixes the scale; the sum of the depths the sign.
    turned_34h = depths_34h.roll(-1, 0)
    lengths_34h = depths_34h.square() + turned_34h.square() - 2 * cosines_3h[:, None] * depths_34h * turned_34h
    depths_34h = depths_34h * ((scale_h / lengths_34h.sum(0)).sqrt() * depths_34h.sum(0).sign())
    for _ in range(polish):
        depths_34h = _polished(depths_34h, cosines_3h, squared_3h)
    poses_344h, area2_h = _alignment(depths_34h, unit_33h, points_33h, sides_33h)
    fit_h = (area2_h > 0) & (area2_h < math.inf)
    return poses_344h, real_4h & (depths_34h.amin(0) > 0) & fit_h


def _depth_directions(cosines_3h: Tensor, ratio_3h: Tensor) -> tuple[Tensor, Tensor]:
    """The four points (d0 : d1 : d2) that the pencil's conics share, up to scale and sign, and which are real.

    `cosines_3h` are of the angles between rays 01, 12, 20; `ratio_3h` the squared sides, divided by side 12's.
    """
    c01, c12, c20 = cosines_3h
    u, w = ratio_3h[0], ratio_3h[2]
    from_first_h, from_second_h = _degenerate_member(_cubic(c01, c12, c20, u, w))
    zero = torch.zeros_like(u)
    # Members of the pencil: M01 - u M12 and M20 - w M12, each a symmetric matrix over the depths.
    first_33h = torch.stack([zero + 1, -c01, zero, -c01, 1 - u, c12 * u, zero, c12 * u, -u]).unflatten(0, (3, 3))
    second_33h = torch.stack([zero + 1, zero, -c20, zero, -w, c12 * w, -c20, c12 * w, 1 - w]).unflatten(0, (3, 3))
    lines_33h = from_first_h * first_33h + from_second_h * second_33h
    other_33h = from_second_h * first_33h - from_first_h * second_33h
    # Where the lines cross, one coordinate is the largest: it becomes the first, by turning all of them.
    diagonal_3h = lines_33h.diagonal(dim1=0, dim2=1).T
    minors_3h = lines_33h[(1, 2, 0), (2, 0, 1)].square() - diagonal_3h.roll(-1, 0) * diagonal_3h.roll(-2, 0)
    m0, m1, m2 = minors_3h.abs()
    largest_h = torch.where(m1 > m0, torch.where(m2 > m1, 2, 1), torch.where(m2 > m0, 2, 0))
    turn_3h = (largest_h + torch.arange(3, device=u.device)[:, None]) % 3
    pick_9h = (3 * turn_3h[:, None] + turn_3h[None]).reshape(9, -1)
    _, l01, l02, _, l11, l12, _, _, l22 = lines_33h.reshape(9, -1).gather(0, pick_9h)
    o00, o01, o02, _, o11, o12, _, _, o22 = other_33h.reshape(9, -1).gather(0, pick_9h)
    minor_h = l12 * l12 - l11 * l22
    # The crossing is (1, p, q); the lines' directions are (0, x, y) with l11 x^2 + 2 l12 x y + l22 y^2 = 0.
    p, q = (l01 * l22 - l02 * l12) / minor_h, (l02 * l11 - l01 * l12) / minor_h
    stable_h = l12 + torch.copysign(minor_h.clamp_min(0).sqrt(), l12)
    x_2h, y_2h = torch.stack([-stable_h, -l22]), torch.stack([l11, stable_h])
    # Along each line the other member is a quadratic: a t^2 + 2 b t + c = 0.
    a_2h = (o11 * x_2h + 2 * o12 * y_2h) * x_2h + o22 * y_2h * y_2h
    along_1, along_2 = o01 + p * o11 + q * o12, o02 + p * o12 + q * o22
    b_2h = along_1 * x_2h + along_2 * y_2h
    c_h = o00 + p * (o01 + along_1) + q * (o02 + along_2)
    inside_2h = b_2h * b_2h - a_2h * c_h
    s_2h = b_2h + torch.copysign(inside_2h.clamp_min(0).sqrt(), b_2h)
    on_4h, off_4h = torch.cat([a_2h, s_2h]), -torch.cat([s_2h, c_h.expand_as(s_2h)])
    turned_34h = torch.stack([on_4h, on_4h * p + off_4h * x_2h.repeat(2, 1), on_4h * q + off_4h * y_2h.repeat(2, 1)])
    back_3h = (torch.arange(3, device=u.device)[:, None] - largest_h) % 3
    depths_34h = turned_34h.gather(0, back_3h[:, None].expand(3, 4, -1))
    return depths_34h, ((inside_2h >= 0) & (minor_h > 0)).repeat(2, 1)


def _cubic(c01: Tensor, c12: Tensor, c20: Tensor, u: Tensor, w: Tensor) -> Tensor:
    """Coefficients (4, h), constant first, of det(M01 - u M12 + g (M20 - w M12)) over g."""
    cc = c12 * c12
    g0 = u * (u - 1) - cc * u * u
    g1 = (1 - u) * (1 - w) + u * w * (1 - 2 * cc)
    g2 = w * (w - 1) - cc * w * w
    k, c01_2, c20_2 = 2 * c01 * c12 * c20, c01 * c01, c20 * c20
    return torch.stack(
        [g0 + c01_2 * u, g0 + g1 - c01_2 * (1 - w) + k * u, g1 + g2 + k * w - c20_2 * (1 - u), g2 + c20_2 * w]
    )


def _degenerate_member(cubic_4h: Tensor) -> tuple[Tensor, Tensor]:
    """Weights of the two conics in a member whose determinant vanishes.

    Symmetric problems, such as an equilateral triangle seen from ahead, have roots at zero and infinity. Turning the
    pencil's basis by an angle that no symmetry favours keeps the leading coefficient away from zero.
    """
    c, s = math.cos(_BASIS_TURN), math.sin(_BASIS_TURN)
    # a^3, a^2 b, a b^2, b^3 with (a, b) = (c - s g, s + c g), as polynomials in g.
    turn_44 = cubic_4h.new_tensor(
        [
            [c**3, c * c * s, c * s * s, s**3],
            [-3 * c * c * s, c**3 - 2 * c * s * s, 2 * c * c * s - s**3, 3 * c * s * s],
            [3 * c * s * s, s**3 - 2 * c * c * s, c**3 - 2 * c * s * s, 3 * c * c * s],
            [-(s**3), c * s * s, -c * c * s, c**3],
        ]
    )
    root_h = _real_root(*(turn_44 @ cubic_4h))
    return c - s * root_h, s + c * root_h


def _real_root(c0: Tensor, c1: Tensor, c2: Tensor, c3: Tensor) -> Tensor:
    """One real root of each cubic: of three, the one farthest from the inflection, which is a simple root."""
    b, c, d = c2 / (3 * c3), c1 / (3 * c3), c0 / c3
    # x = y - b; y^3 + 3 P y + 2 Q = 0
    P, Q = c - b * b, b * b * b + 0.5 * (d - 3 * b * c)
    inside = Q * Q + P * P * P
    # One real root: Cardano without cancellation. Three: the cosine form.
    big = (Q.abs() + inside.clamp_min(0).sqrt()).pow(1 / 3)
    alone = big - P / big
    radius = (-P).clamp_min(0).sqrt()
    three = 2 * radius * torch.cos(torch.arccos((Q.abs() / (radius * radius * radius)).clamp(max=1)) / 3)
    y = -torch.copysign(torch.where(inside > 0, alone, three), Q)
    x = y - b
    for _ in range(2):
        value, slope = ((x + 3 * b) * x + 3 * c) * x + d, (3 * x + 6 * b) * x + 3 * c
        x = x - torch.where(slope.abs() > 1e-12, value / slope, 0)
    return x


def _polished(depths_34h: Tensor, cosines_3h: Tensor, squared_3h: Tensor) -> Tensor:
    """One Newton step on d_i^2 + d_j^2 - 2 c_ij d_i d_j = a_ij for the pairs 01, 12, 20."""
    turned_34h = depths_34h.roll(-1, 0)
    crossed_34h = cosines_3h[:, None] * turned_34h
    e_34h = depths_34h * (depths_34h - 2 * crossed_34h) + turned_34h.square() - squared_3h[:, None]
    # Equation k has the slopes 2 f_k along d_k and 2 s_k along d_(k+1).
    f0, f1, f2 = depths_34h - crossed_34h
    s0, s1, s2 = turned_34h - cosines_3h[:, None] * depths_34h
    e0, e1, e2 = e_34h
    step_34h = torch.stack(
        [
            e0 * f1 * f2 - s0 * (e1 * f2 - s1 * e2),
            e1 * f2 * f0 - s1 * (e2 * f0 - s2 * e0),
            e2 * f0 * f1 - s2 * (e0 * f1 - s0 * e1),
        ]
    ) / (2 * (f0 * f1 * f2 + s0 * s1 * s2))
    # Near a double solution the step explodes; such a candidate stays as it is.
    return torch.where((step_34h.abs() < 0.1 * depths_34h.abs()).all(0), depths_34h - step_34h, depths_34h)


def _alignment(depths_34h: Tensor, unit_33h: Tensor, points_33h: Tensor, sides_33h: Tensor) -> tuple[Tensor, Tensor]:
    """Poses (3, 4, 4, h) that carry the world's triangles onto the camera's, whose sides are equally long.

    Also the squared doubled areas (h) of the triangles.
    """
    camera_3_34h = depths_34h[:, None] * unit_33h[:, :, None]
    y1, y2 = camera_3_34h[1] - camera_3_34h[0], camera_3_34h[2] - camera_3_34h[0]
    x1, x2 = sides_33h[0], -sides_33h[2]
    normal_3h = _cross(x1, x2)
    # The dual basis of (x1, x2, x1 x x2), once a problem; R maps the basis onto (y1, y2, y1 x y2).
    area2_h = normal_3h.square().sum(0)
    dual_33h = torch.stack([_cross(x2, normal_3h), _cross(normal_3h, x1), normal_3h]) / area2_h
    R_3_34h = (
        y1[:, None] * dual_33h[0][:, None]
        + y2[:, None] * dual_33h[1][:, None]
        + _cross(y1, y2)[:, None] * dual_33h[2][:, None]
    )
    t_34h = camera_3_34h[0] - (R_3_34h * points_33h[0][:, None]).sum(1)
    return torch.cat([R_3_34h, t_34h[:, None]], 1), area2_h


def _cross(a_3h: Tensor, b_3h: Tensor) -> Tensor:
    # torch.linalg.cross is several times slower along the first axis.
    a0, a1, a2 = a_3h
    b0, b1, b2 = b_3h
    return torch.stack([a1 * b2 - a2 * b1, a2 * b0 - a0 * b2, a0 * b1 - a1 * b0])
