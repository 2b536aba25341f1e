"""ROS 2's `geometry_msgs/PoseWithCovarianceStamped`, as JSON and YAML with the message's own fields.

The pose is that of the camera's optical frame (x right, y down, z ahead; REP 103) in `frame_id`. ROS orders the
covariance x, y, z, rotation about X, Y, Z, of the position in the axes of `frame_id` and of rotations about these fixed
axes. Here T_true = T_est exp(xi) with xi = (omega, t) in the camera's axes: the position is then off by R_wc t, and as
R exp(omega) = exp(R omega) R, the rotation by R_wc omega about fixed axes.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from transpose.exporting.estimates import PosedImage
from transpose.geometry.poses import quaternion_wxyz


def ros_covariance(covariance_66: np.ndarray, R_wc_33: np.ndarray) -> np.ndarray:
    """Covariance (6, 6) in ROS's order and frame of one over xi in the camera frame; to first order, see the module."""
    to_ros_66 = np.zeros((6, 6))
    to_ros_66[:3, 3:] = to_ros_66[3:, :3] = R_wc_33
    return to_ros_66 @ covariance_66 @ to_ros_66.T


def ros_message(image: PosedImage, time_s: float, frame_id: str) -> dict[str, Any]:
    """The message of a posed image whose covariance is known.

    Args:
        image: with its covariance.
        time_s: of the image, seconds.
        frame_id: name of the frame that the world is in.
    """
    assert image.covariance_66 is not None
    nanoseconds = round(time_s * 1e9)
    w, x, y, z = quaternion_wxyz(image.pose.R_wc).tolist()
    position = dict(zip("xyz", image.pose.center.tolist(), strict=True))
    covariance_66 = ros_covariance(image.covariance_66, image.pose.R_wc)
    return {
        "header": {
            "stamp": {"sec": nanoseconds // 10**9, "nanosec": nanoseconds % 10**9},
            "frame_id": frame_id,
        },
        "pose": {
            "pose": {"position": position, "orientation": {"x": x, "y": y, "z": z, "w": w}},
            "covariance": covariance_66.reshape(-1).tolist(),
        },
    }


def ros_text(messages: Sequence[dict[str, Any]], as_yaml: bool) -> str:
    """All messages: a JSON list, or one YAML document each, as `ros2 topic pub` takes them."""
    assert all(math.isfinite(value) for message in messages for value in message["pose"]["covariance"])
    if not as_yaml:
        return json.dumps(messages, indent=1) + "\n"
    return "".join(f"---\n{json.dumps(message)}\n" for message in messages)  # JSON is YAML in flow style
