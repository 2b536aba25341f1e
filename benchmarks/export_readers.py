"""Whether other programs read what `transpose export` writes: evo a trajectory, ROS 2's definitions a message.

    pip install evo rosbags
    python benchmarks/export_readers.py --tum poses.txt --ros poses.json

rosbags has the message definitions of ROS 2 (Humble) and its wire format (CDR): each message of the file must have
exactly the fields of `geometry_msgs/msg/PoseWithCovarianceStamped`, and come back from the wire as it was. evo must
read a trajectory with as many poses as the file has lines. Needs no ROS.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

_MESSAGE = "geometry_msgs/msg/PoseWithCovarianceStamped"


def read_by_evo(path: Path) -> str:
    """What evo says of a trajectory."""
    from evo.tools import file_interface  # type: ignore[import-not-found]

    trajectory = file_interface.read_tum_trajectory_file(str(path))
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]
    valid, details = trajectory.check()
    if trajectory.num_poses != len(lines) or not valid:
        raise SystemExit(f"evo reads {trajectory.num_poses} poses of {len(lines)} lines of {path}: {details}")
    return f"evo: {trajectory.num_poses} poses, {trajectory.path_length:.3g} m"


def read_by_ros(path: Path) -> str:
    """What became of the messages of a file on ROS 2's wire."""
    from rosbags.typesys import Stores, get_typestore  # type: ignore[import-not-found]

    store = get_typestore(Stores.ROS2_HUMBLE)
    messages = json.loads(path.read_text(encoding="utf-8"))
    for number, content in enumerate(messages):
        message = _built(store, _MESSAGE, content)
        back = store.deserialize_cdr(store.serialize_cdr(message, _MESSAGE), _MESSAGE)
        if _plain(back) != _plain(message):
            raise SystemExit(f"message {number} of {path} comes back as another one")
        covariance_66 = np.asarray(back.pose.covariance).reshape(6, 6)
        if not np.allclose(covariance_66, covariance_66.T) or np.linalg.eigvalsh(covariance_66).min() <= 0:
            raise SystemExit(f"message {number} of {path} has no covariance")
    return f"ROS 2: {len(messages)} messages {_MESSAGE}"


def _built(store: Any, name: str, content: dict[str, Any]) -> Any:
    """A message of a type, which must have the fields of the content and no others."""
    _, fields = store.fielddefs[name]
    if {field for field, _ in fields} != set(content):
        raise SystemExit(f"{name} has the fields {[field for field, _ in fields]}, not {list(content)}")
    values = dict[str, Any]()
    for field, (kind, inner) in fields:
        value = content[field]
        if kind.name == "NAME":
            value = _built(store, inner, value)
        elif kind.name == "ARRAY":
            if len(value) != inner[1]:
                raise SystemExit(f"{name}.{field} has {inner[1]} numbers, not {len(value)}")
            value = np.array(value, np.float64)
        values[field] = value
    return store.types[name](**values)


def _plain(message: Any) -> Any:
    if isinstance(message, np.ndarray):
        return message.tolist()
    fields = getattr(message, "__dataclass_fields__", None)
    return message if fields is None else {field: _plain(getattr(message, field)) for field in fields}


def main() -> None:
    """Reads what is given."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tum", type=Path)
    parser.add_argument("--ros", type=Path)
    arguments = parser.parse_args()
    if arguments.tum is not None:
        print(read_by_evo(arguments.tum))
    if arguments.ros is not None:
        print(read_by_ros(arguments.ros))


if __name__ == "__main__":
    main()
