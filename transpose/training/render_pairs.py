"""Which frames each stage of a training draws, and which renders show what photos show: by geometry, not by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from transpose.inspection.similarity import SimilarityOptions, similarity_of
from transpose.training.stages import Stage
from transpose.training.views import TrainingFrame

FramePools = Mapping[Stage, Sequence[Sequence[int]]]
_RENDERS_A_PHOTO = 8
_LEAST_SIMILARITY = 0.1


def frame_pools(frames: Sequence[TrainingFrame]) -> FramePools:
    """Which frames each stage draws: renders first; then photos and their renders; then photos and all renders.

    Without photos, or without renders, every stage draws of all. Renders that no photo pairs with are drawn in the
    last stage all the same: what the photos do not show is not to be forgotten.
    """
    renders = [i for i, each in enumerate(frames) if each.rendered]
    photos = [i for i, each in enumerate(frames) if not each.rendered]
    if not renders or not photos:
        everything = [range(len(frames))]
        return {"pretrain": everything, "fine_tune": everything, "fuse": everything}
    paired = paired_renders(frames, _RENDERS_A_PHOTO) or renders
    return {"pretrain": [renders], "fine_tune": [photos, paired], "fuse": [photos, renders]}


def paired_renders(frames: Sequence[TrainingFrame], each: int) -> list[int]:
    """The renders, by number, that show most of what some photo shows; of each photo up to so many.

    By `inspection.similarity`: frustum overlap of both ways, with what hides things. Photos without depth take it from
    renders. Memory is that of the views (`SimilarityOptions.of_many`) and of the overlaps.

    Args:
        frames: of a training, some of them photos and some renders; none of either: there are no pairs.
        each: renders for a photo.
    """
    renders = [i for i, frame in enumerate(frames) if frame.rendered]
    photos = [i for i, frame in enumerate(frames) if not frame.rendered]
    if not renders or not photos:
        return []
    options = SimilarityOptions.of_many([each.frame.camera for each in frames], _LEAST_SIMILARITY)
    similarity = similarity_of([frames[i].frame for i in photos], [frames[i].frame for i in renders], options)
    return sorted({renders[i] for i in similarity.pairs(each, _LEAST_SIMILARITY).column_p.tolist()})
