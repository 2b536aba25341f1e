"""What a checkpoint keeps of a database, and what it is read as."""

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from transpose.errors import TransposeError
from transpose.geometry import Camera, Pose
from transpose.localization.global_descriptors import GeneralizedMean
from transpose.localization.matching.database import Database, DatabaseImage, ImagePoints, assembled


def database() -> Database:
    torch.manual_seed(0)
    counts = (3, 0, 2)
    camera = Camera(64, 48, 60.0, 61.0, 32.0, 24.0, k1=0.01)
    images = [DatabaseImage(f"train/{i}", (128, 96), camera, Pose(np.eye(4))) for i in range(3)]
    descriptors = [F.normalize(torch.randn(n, 64), dim=1) for n in counts]
    describer = GeneralizedMean()
    vectors = torch.stack([describer.describe(each) for each in descriptors])
    rng = np.random.default_rng(0)
    shown = [
        ImagePoints(rng.uniform(1, 40, (n, 2)), rng.normal(size=(n, 3)), np.arange(n), d)
        for n, d in zip(counts, descriptors, strict=True)
    ]
    return assembled("xfeat", images, shown, vectors, describer)


def test_the_state_is_read_back(tmp_path: Any) -> None:
    made = database()
    torch.save(made.state(), tmp_path / "state.pt")
    read = Database.from_state(torch.load(tmp_path / "state.pt", weights_only=True))
    assert [each.name for each in read.images] == ["train/0", "train/1", "train/2"]
    assert read.images[0].camera == made.images[0].camera and read.images[0].size == (128, 96)
    assert torch.equal(read.descriptors_nc, made.descriptors_nc) and torch.equal(read.points_n3, made.points_n3)
    vector = read.describer.describe(torch.eye(64)[:2])
    assert torch.equal(vector, made.describer.describe(torch.eye(64)[:2]))


def test_rows_of_images_with_fewer_keypoints_are_marked() -> None:
    made = database()
    assert made.rows(torch.tensor([2, 0, 1])).tolist() == [[3, 4, -1], [0, 1, 2], [-1, -1, -1]]
    found = made.descriptors(made.rows(torch.tensor([2, 1])))
    assert torch.allclose(found.norm(dim=2), torch.tensor([[1.0, 1.0, 0.0], [0, 0, 0]])[:, : found.shape[1]])


@pytest.mark.parametrize("broken", ["images", "descriptors_nc", "describer", "features"])
def test_a_damaged_state_is_refused(broken: str) -> None:
    state = database().state()
    del state[broken]
    with pytest.raises(TransposeError, match=r"damaged.*train it again"):
        Database.from_state(state)
