"""Localizing a section with a run, and everything that is written of it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from transpose.app.console import progress, tell
from transpose.app.services.refining import check_refinement, kept_sentence

if TYPE_CHECKING:
    from collections.abc import Callable

    from transpose.evaluation.metrics import FrameResult
    from transpose.evaluation.testing import Record
    from transpose.localization import Localizer
    from transpose.scenes.layout import Section


@dataclass(frozen=True)
class EvaluationRequest:
    """Which run is tested on what.

    Attributes:
        run: the run folder, or its model.pt.
        scene: the scene folder.
        section: of it.
        out: folder of the results.
        use: what poses rest on (`transpose.load`).
        rgbd: the frames' measured depth is used as well.
        samples: poses to draw of each frame; 0: none.
        save_map: whether coordinates, uncertainty and truth of every frame are written.
        sparse: coordinates are held against `init/`, also where there is depth.
        cluster: address of a ray cluster, "local" for one on this machine; None: this process.
        device: as PyTorch names it.
        refine: poses are made better by renders of a world (`transpose.load`).
        world: that world; None: the one that the run was trained with.
        risk: see `transpose.load`.
    """

    run: Path
    scene: Path
    section: str
    out: Path
    use: Literal["auto", "landmarks", "coordinates", "cells"] = "auto"
    rgbd: bool = False
    samples: int = 0
    save_map: bool = False
    sparse: bool = False
    cluster: str | None = None
    device: str = "cpu"
    refine: bool = False
    world: Path | None = None
    risk: float | None = None

    def load(self) -> Localizer:
        """The run's localizer."""
        from transpose.localization import load

        run = self.run.resolve()  # workers of a cluster stand in other folders
        world = None if self.world is None else self.world.resolve()
        return load(run, self.device, use=self.use, refine=self.refine, world=world, risk=self.risk)


def evaluate(request: EvaluationRequest) -> dict[str, Any]:
    """Tests, writes everything, and returns the table.

    Raises:
        TransposeError: run or section are missing or broken, or the method cannot do what is asked for.
    """
    from transpose.errors import TransposeError
    from transpose.localization.localizer import check_uses_depth
    from transpose.ownership import sole_use
    from transpose.pages.wording import unfinished_sentence
    from transpose.scenes.layout import open_section, with_sparse_labels

    if request.samples < 0 or request.samples == 1:
        raise TransposeError(f"--samples needs at least 2 poses, not {request.samples}")
    check_refinement(request.refine, request.world)
    section = open_section(request.scene / request.section)
    if request.sparse:
        section = with_sparse_labels(section)
    localizer = request.load()
    if request.rgbd:
        check_uses_depth(localizer, "--mode 2", in_metres=False)
    if sentence := unfinished_sentence(localizer.checkpoint, request.run):
        tell(sentence)
    with sole_use(request.out):
        return _tested(request, localizer, section)


def _tested(request: EvaluationRequest, localizer: Localizer, section: Section) -> dict[str, Any]:
    """Localizes and writes everything; returns the table."""
    results, table = localize_and_write(
        localizer, section, request.run, request.out, _localize(request, localizer, section)
    )
    if request.refine and (sentence := kept_sentence([result.estimate for result in results])):
        tell(sentence)
    table = _calibrated(table, localizer, section, results, request.out)
    table = _with_tasks(table, localizer, section, results, request.out)
    _write_maps(localizer, section, results, request)
    _write_samples(localizer, section, results, request)
    return table


def localize_and_write(
    localizer: Localizer,
    section: Section,
    run: Path,
    out: Path,
    localize: Callable[[Record], list[FrameResult]] | None = None,
) -> tuple[list[FrameResult], dict[str, Any]]:
    """Localizes a section by `localize`, or frame after frame in this process; writes results and plots into `out`.

    Returns:
        The results, and the table of `results.json`.
    """
    from transpose.evaluation.testing import check_unit, frame_log, result_name, write_results
    from transpose.pages.plots import plot_error_curve, plot_trajectory
    from transpose.pages.wording import errors_sentence
    from transpose.scenes.facts import scene_up

    check_unit(localizer.checkpoint.unit, section)  # before anything is written
    with frame_log(section, out) as record:
        results = localize(record) if localize is not None else localize_frames(localizer, section, record=record)
    table = write_results(results, section, run, out)
    if sentence := errors_sentence(results, section.name):
        tell(sentence)
    plot_error_curve({section.name: results}, out / f"errors_{result_name(section)}.png")
    plot_trajectory(results, out / f"trajectory_{result_name(section)}.png", up_3=scene_up(section.scene))
    return results, table


def results_folder(run: Path, scene: Path, section: str) -> Path:
    """Where the results of a section lie in a run folder, so that `visualize RUN` finds them."""
    return run / f"test_{scene.resolve().name}_{section}"


def localize_frames(localizer: Localizer, section: Section, **options: Any) -> list[FrameResult]:
    """`localize_section` with a progress bar."""
    from transpose.evaluation.testing import localize_section

    return localize_section(localizer, section, partial(progress, what="localizing"), **options)


def _localize(
    request: EvaluationRequest, localizer: Localizer, section: Section
) -> Callable[[Record], list[FrameResult]]:
    from transpose.evaluation.testing import localize_on_cluster

    if request.cluster is None:
        return lambda record: localize_frames(localizer, section, rgbd=request.rgbd, record=record)
    address = None if request.cluster == "local" else request.cluster
    shown = partial(progress, what="localizing", total=len(section))
    return lambda record: localize_on_cluster(request.load, section, address, shown, request.rgbd, record)


def _calibrated(
    table: dict[str, Any], localizer: Localizer, section: Section, results: list[FrameResult], out: Path
) -> dict[str, Any]:
    """The table with the calibration of the predicted coordinates, where they are predicted and labelled."""
    from transpose.evaluation.coordinate_calibration import calibrate_coordinates
    from transpose.evaluation.testing import add_calibration, result_name
    from transpose.localization import PredictsCoordinates
    from transpose.pages.calibration_plot import plot_calibration

    if not isinstance(localizer, PredictsCoordinates):
        return table
    calibration = calibrate_coordinates(localizer, _usable(section, results))
    if calibration is None:
        return table
    if calibration.report is not None:
        plot_calibration(calibration, out / f"calibration_{result_name(section)}.png")
    return add_calibration(table, calibration, out)


def _with_tasks(
    table: dict[str, Any], localizer: Localizer, section: Section, results: list[FrameResult], out: Path
) -> dict[str, Any]:
    """The table with the measures of depth, normals and classes, where they are predicted and labelled."""
    from transpose.evaluation.tasks import add_tasks, measure_tasks
    from transpose.localization.localizer import tasks_learned

    if not (tasks := tasks_learned(localizer)):
        return table
    measured = measure_tasks(localizer, _usable(section, results), partial(progress, what="measuring tasks"))
    if missing := [task for task in tasks if task not in measured]:
        tell(f"{section.path} has no labels of {', '.join(missing)}: not measured")
    return add_tasks(table, measured, out)


def _write_maps(localizer: Localizer, section: Section, results: list[FrameResult], request: EvaluationRequest) -> None:
    from transpose.evaluation.maps import MAPS_FOLDER, save_maps
    from transpose.localization import PredictsCoordinates

    if not request.save_map:
        return
    if not isinstance(localizer, PredictsCoordinates):
        tell("this method predicts no coordinates: their maps are left out")
        return
    save_maps(localizer, section, results, request.out / MAPS_FOLDER, partial(progress, what="saving maps"))


def _write_samples(
    localizer: Localizer, section: Section, results: list[FrameResult], request: EvaluationRequest
) -> None:
    from transpose.evaluation.samples import write_samples
    from transpose.solvers import PosteriorOptions

    if request.samples:
        options = PosteriorOptions(samples=request.samples)
        frames = progress(_usable(section, results), "sampling")
        write_samples(localizer, frames, options, request.out / "samples.json")


def _usable(section: Section, results: list[FrameResult]) -> list[Any]:
    """The frames that did not raise."""
    return [frame for frame, result in zip(section.frames, results, strict=True) if not result.raised]
