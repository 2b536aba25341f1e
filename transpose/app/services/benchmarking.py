"""The benchmark: rows that are missing are run, then everything is written of all of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from transpose.app.console import tell
from transpose.app.services.benchmark_jobs import Conditions, RowTask, Start, run_job, start_command
from transpose.errors import TransposeError
from transpose.evaluation.benchmark import Block, Row, SceneBounds, blocks_of, read_row
from transpose.evaluation.benchmark_files import write_benchmark_json, write_csv
from transpose.evaluation.benchmark_plan import BenchmarkPlan, Place
from transpose.evaluation.benchmark_record import Inputs, is_done
from transpose.locks import locked
from transpose.ownership import sweep

if TYPE_CHECKING:
    from transpose.pages.benchmark_page import Pictures
    from transpose.scenes.layout import Section
    from transpose.worlds.renderer import Renderer

_FIGURES = "figures"


@dataclass(frozen=True)
class BenchmarkRequest:
    """Which benchmark is wanted.

    Attributes:
        plan: what is compared.
        out: its folder.
        device: as PyTorch names it.
        threads: of each process; None: all cores, on a cluster one.
        cluster: address of a ray cluster, "local" for one on this machine; None: one row after the other, here.
    """

    plan: BenchmarkPlan
    out: Path
    device: str = "cpu"
    threads: int | None = None
    cluster: str | None = None


def benchmark(request: BenchmarkRequest, start: Start = start_command) -> str:
    """Runs what is missing, writes tables and figures, and returns the page as Markdown.

    Two benchmarks of one folder take turns.

    Args:
        request: which one.
        start: runs a command of the program.

    Raises:
        TransposeError: a section or world is broken, or no row could be run.
    """
    plan, out = request.plan, request.out.resolve()
    with locked(out / "benchmark", lambda: tell(f"another benchmark is at work in {out}; waiting for its end")):
        sweep(out, deep=True)
        inputs = Inputs(plan, request.device)
        _run_missing(_missing(plan, inputs, out), request, start)
        return _write(plan, inputs, out)


def _missing(plan: BenchmarkPlan, inputs: Inputs, out: Path) -> list[list[RowTask]]:
    """The rows of each job that have no results, or results of other inputs; jobs without any are left out."""
    jobs = []
    for job in plan.jobs():
        tasks = [
            RowTask(
                key,
                Place.of(key, out),
                inputs.of_row(key),
                inputs.of_training(key),
                inputs.learned(key),
                inputs.truth(key.scene),
                plan.world_of(key.scene),
            )
            for key in job.rows
        ]
        if missing := [task for task in tasks if not is_done(task.place, task.inputs)]:
            jobs.append(missing)
    return jobs


def _run_missing(jobs: Sequence[Sequence[RowTask]], request: BenchmarkRequest, start: Start) -> None:
    plan = request.plan
    rows, total = sum(map(len, jobs)), len(plan.rows())
    tell(f"{total - rows} of {total} rows are there already" if rows < total else f"{total} rows to run")
    threads = request.threads if request.cluster is None else request.threads or 1
    conditions = Conditions(plan.section, plan.minutes, request.device, threads)
    done = _here(jobs, conditions, start) if request.cluster is None else _there(jobs, conditions, start, request)
    count = 0
    for lines in done:
        for line in lines:
            count += 1
            tell(f"[{count}/{rows}] {line}")


def _here(jobs: Sequence[Sequence[RowTask]], conditions: Conditions, start: Start) -> Iterator[list[str]]:
    """One job after the other: each has the machine for itself."""
    for tasks in jobs:
        log = tasks[0].place.trained / "train.log"
        tell(f"{tasks[0].key}{f' and {len(tasks) - 1} more' if len(tasks) > 1 else ''} ... ({log})")
        yield run_job(tasks, conditions, start)


def _there(
    jobs: Sequence[Sequence[RowTask]], conditions: Conditions, start: Start, request: BenchmarkRequest
) -> Iterator[list[str]]:
    """As many jobs at once as a cluster has room for; all machines must see the same folders."""
    from transpose.cluster import Cluster

    if not jobs:
        return
    address = None if request.cluster == "local" else request.cluster
    with Cluster(partial(_conditions, conditions, start), address, cores=conditions.threads or 1) as cluster:
        yield from cluster.run(_work, jobs)


def _conditions(conditions: Conditions, start: Start) -> tuple[Conditions, Start]:
    """What each worker keeps."""
    return conditions, start


def _work(state: tuple[Conditions, Start], tasks: Sequence[RowTask]) -> list[str]:
    return run_job(tasks, *state)


def _write(plan: BenchmarkPlan, inputs: Inputs, out: Path) -> str:
    """Everything from what lies in the rows' folders, be it of this call or of earlier ones."""
    from transpose.pages.benchmark_page import write_page

    bounds = {scene: SceneBounds.of(inputs.section(scene, plan.section)) for scene in plan.scenes}
    found = [
        read_row(key, Place.of(key, out), inputs.section(key.scene, plan.section), bounds[key.scene])
        for key in plan.rows()
    ]
    rows: list[Row] = [row for row in found if row is not None]
    blocks = blocks_of(rows, {scene.name: each for scene, each in bounds.items()})
    write_csv(blocks, out)
    write_benchmark_json(blocks, out)
    pictures = [drawn for scene in plan.scenes for drawn in _drawn(blocks, scene, plan, inputs, out)]
    text = write_page(blocks, pictures, plan.minutes, out)
    if failed := [row for row in rows if row.record.failed is not None]:
        tell(f"{len(failed)} of {len(rows)} rows could not be run; the same command tries them again")
        if len(failed) == len(rows):
            first = failed[0]
            raise TransposeError(f"no row could be run; the first, {first.key}: {first.record.failed}")
    return text


def _drawn(blocks: Sequence[Block], scene: Path, plan: BenchmarkPlan, inputs: Inputs, out: Path) -> Iterator[Pictures]:
    """The pictures of a scene's blocks, in their order."""
    section, renderer = inputs.section(scene, plan.section), _renderer(plan.world_of(scene))
    for block in blocks:
        if block.scene == scene.name:
            yield _draw(block, section, renderer, out)


def _draw(block: Block, section: Section, renderer: Renderer | None, out: Path) -> Pictures:
    """The pictures of a block, as links from the page."""
    from transpose.pages.benchmark_figures import plot_costs, plot_recall
    from transpose.pages.benchmark_page import Pictures
    from transpose.pages.benchmark_photos import plot_worst

    name = f"{block.scene}_{block.training}"
    figures = {
        "Share of photos within an error": plot_recall(block, out / _FIGURES / f"recall_{name}.png"),
        "Accuracy against what it costs": plot_costs(block, out / _FIGURES / f"costs_{name}.png"),
    }
    photos = {}
    for line in block.lines:
        path = out / _FIGURES / f"worst_{name}_{line.method.name}.png"
        frames = [frame for row in line.done for frame in row.frames]
        photos[line.method.name] = plot_worst(frames, section, renderer, path)
    return Pictures(_linked(figures, out), _linked(photos, out))


def _linked(drawn: Mapping[str, Path | None], out: Path) -> dict[str, str]:
    """Those that were drawn, as the page beside them links them."""
    return {what: quote(path.relative_to(out).as_posix(), "/+") for what, path in drawn.items() if path is not None}


def _renderer(world: Path | None) -> Renderer | None:
    if world is None:
        return None
    from transpose.worlds.renderer import Renderer
    from transpose.worlds.world import load_world

    return Renderer(load_world(world))
