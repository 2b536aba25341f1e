"""`transpose benchmark`: what it runs, what it leaves, and what it says."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from tests.evaluation.benchmark_rows import FakeProgram, make_scene
from tests.evaluation.stubs import make_section
from transpose.app.cli import main
from transpose.app.services import benchmarking
from transpose.app.services.benchmark_jobs import start_command
from transpose.app.services.benchmarking import BenchmarkRequest, benchmark
from transpose.errors import TransposeError
from transpose.evaluation.benchmark_plan import BenchmarkPlan
from transpose.pages.benchmark_page import Pictures
from transpose.worlds.world import World, save_world


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    return make_scene(tmp_path / "scene")


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures take longer than all else."""
    monkeypatch.setattr(benchmarking, "_draw", lambda *_: Pictures({}, {}))


def request_of(scene: Path, methods: tuple[str, ...] = ("fast", "ace"), **how: object) -> BenchmarkRequest:
    worlds: tuple[Path, ...] = how.pop("worlds", ())  # type: ignore[assignment]
    minutes: float = how.pop("minutes", 2.0)  # type: ignore[assignment]
    plan = BenchmarkPlan.of([scene], methods, ["sim"], "test", [0, 1], minutes, worlds)
    return BenchmarkRequest(plan, scene.parent / "out", threads=1, **how)  # type: ignore[arg-type]


def test_rows_are_run_once(scene: Path) -> None:
    first, second = FakeProgram(), FakeProgram()
    page = benchmark(request_of(scene), first)
    assert len(first.trained) == 4 and len(first.tested) == 4
    assert all("--minutes 2" in line and "--seed" in line for line in first.trained)
    assert benchmark(request_of(scene), second) == page and second.asked == []
    wider = FakeProgram()
    benchmark(request_of(scene, ("fast", "ace", "crossloc")), wider)
    assert len(wider.trained) == 2 and all("crossloc" in line for line in wider.trained)
    out = scene.parent / "out"
    assert (out / "rows/scene/sim/fast/seed-1/results/results.json").exists()
    assert (out / "benchmark.md").read_text(encoding="utf-8").startswith("# Benchmark")
    figures = {path.name for path in (out / "figures").iterdir()}
    assert {"recall_scene_sim.png", "costs_scene_sim.png", "worst_scene_sim_fast.png"} <= figures
    assert "(figures/recall_scene_sim.png)" in page
    assert "5 photos of sim | poses of test |" in page


@pytest.mark.usefixtures("undrawn")
def test_a_run_is_tested_refined_without_a_second_training(scene: Path, box_world: World) -> None:
    program, world = FakeProgram(), save_world(box_world, scene.parent / "world")
    benchmark(request_of(scene, ("fast+refine", "fast"), worlds=(world,)), program)
    assert len(program.trained) == 2 and len(program.tested) == 4
    assert sum("--refine" in line for line in program.tested) == 2


@pytest.mark.usefixtures("undrawn")
def test_what_changed_is_run_again(scene: Path) -> None:
    benchmark(request_of(scene), FakeProgram())
    make_section(scene, "sim", frames=6)
    learned = FakeProgram()
    benchmark(request_of(scene), learned)
    assert len(learned.trained) == 4 and all("--overwrite" in line for line in learned.trained)
    make_section(scene, "test", frames=5, depth=False)
    tested = FakeProgram()
    benchmark(request_of(scene), tested)
    assert tested.trained == [] and len(tested.tested) == 4
    limited = FakeProgram()
    benchmark(request_of(scene, minutes=3.0), limited)
    assert len(limited.trained) == 4


@pytest.mark.usefixtures("undrawn")
def test_a_failure_is_a_marked_row_and_the_others_go_on(scene: Path, capsys: pytest.CaptureFixture[str]) -> None:
    program = FakeProgram({"--preset ace": "kornia is needed to do this; install it with: pip install kornia"})
    page = benchmark(request_of(scene), program)
    assert len(program.tested) == 2 and "kornia is needed" in page and "failed" in page
    assert "2 of 4 rows could not be run" in capsys.readouterr().err
    repaired = FakeProgram()
    page = benchmark(request_of(scene), repaired)
    assert len(repaired.trained) == 2 and "kornia" not in page
    broken = FakeProgram({"test ": "no frame could be localized"})
    with pytest.raises(TransposeError, match="no row could be run; the first, scene, sim, fast, seed 0: no frame"):
        benchmark(request_of(scene, ("fast",), minutes=9.0), broken)
    rows = json.loads((scene.parent / "out" / "benchmark.json").read_text(encoding="utf-8"))["rows"]
    assert [row["status"] for row in rows] == ["failed", "failed"]


@pytest.mark.usefixtures("undrawn")
def test_an_interrupt_keeps_what_is_done_and_a_run_that_was_begun_is_resumed(scene: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        benchmark(request_of(scene), FakeProgram(interrupted="--seed 1"))
    out = scene.parent / "out" / "rows" / "scene" / "sim" / "fast"
    assert (out / "seed-0" / "results" / "results.json").exists() and not (out / "seed-1" / "results").exists()
    (out / "seed-1" / "run").mkdir()
    (out / "seed-1" / "run" / "config.json").write_text("{}", encoding="utf-8")
    program = FakeProgram()
    benchmark(request_of(scene), program)
    assert len(program.trained) == 2
    assert "--resume" in program.trained[0] and "--resume" not in program.trained[1]


@pytest.mark.usefixtures("undrawn")
def test_rows_whose_files_are_broken_are_run_again(scene: Path) -> None:
    benchmark(request_of(scene, ("fast",)), FakeProgram())
    rows = scene.parent / "out" / "rows" / "scene" / "sim" / "fast"
    for file in ("row.json", "results.json"):
        (rows / "seed-0" / "results" / file).write_text('{"form', encoding="utf-8")
        program = FakeProgram()
        benchmark(request_of(scene, ("fast",)), program)
        assert len(program.tested) == 1
    run = rows / "seed-1" / "run"
    (run / "config.json").write_text("{}", encoding="utf-8")
    (run / "model.pt").write_bytes(b"torn")
    (rows / "seed-1" / "results" / "row.json").unlink()
    program = FakeProgram()
    benchmark(request_of(scene, ("fast",)), program)
    assert len(program.trained) == 1 and "--overwrite" in program.trained[0]  # no state to resume from


@pytest.mark.usefixtures("undrawn")
def test_the_command(scene: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    program = FakeProgram()
    monkeypatch.setattr(benchmarking, "run_job", lambda tasks, how, _: _real(tasks, how, program))
    words = ["benchmark", str(scene), "--train", "sim", "--section", "test", "--out", str(scene.parent / "out")]
    assert main([*words, "--methods", "fast", "--seeds", "0", "--minutes", "1"]) == 0
    printed = capsys.readouterr()
    assert "| `fast` | 0 | 3.00 cm | 0.00° |" in printed.out.replace("**", "") and "[1/1]" in printed.err
    for more, message in (
        (["--methods", "magic"], "no method 'magic'"),
        (["--minutes", "0"], "--minutes must be more than 0"),
        (["--methods", "fast", "--worlds", str(scene)], "no world.json"),
    ):
        assert main([*words, *more]) == 1
        assert message in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["benchmark", str(scene), "--out", "x"])


_real = benchmarking.run_job


@pytest.mark.usefixtures("undrawn")
def test_rows_spread_over_a_cluster(scene: Path) -> None:
    pytest.importorskip("ray", reason="the extra cluster is not installed")
    program = FakeProgram({"--preset ace": "it broke"})
    page = benchmark(request_of(scene, cluster="local"), program)
    assert "| `fast` | 0, 1 | **3.00 cm**" in page and "`ace` could not be run (all 2 of its seeds): it broke" in page
    assert program.asked == []  # elsewhere


def test_a_command_in_a_process_of_its_own(tmp_path: Path) -> None:
    ended = start_command(["info", str(tmp_path / "none")], tmp_path / "log" / "info.log", None)
    assert ended.failed is not None and "none" in ended.failed and "Traceback" not in ended.failed
    assert start_command(["--help"], tmp_path / "help.log", 600).failed is None


@pytest.mark.skipif(sys.platform == "win32", reason="a process that ignores its end is killed there")
def test_a_command_that_takes_too_long_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "slow").write_text("#!/bin/sh\nexec sleep 600\n", encoding="utf-8")
    (tmp_path / "slow").chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "slow"))
    ended = start_command(["train"], tmp_path / "train.log", 0.2)
    assert ended.failed is not None and "when it was ended" in ended.failed
