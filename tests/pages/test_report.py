"""The report page: whole, self-contained, safe against names, and content with less than everything."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.evaluation.stubs import EVIL, Plain, Stub, make_results, make_section, save_run
from transpose import runs
from transpose.evaluation.maps import FrameMaps
from transpose.evaluation.metrics import FrameResult
from transpose.evaluation.testing import localize_section
from transpose.geometry.poses import Pose, compose
from transpose.pages.figures import error_figures, map_figure, training_figures
from transpose.pages.gallery import _scale, choose_frames, viridis
from transpose.pages.headline import headline, marked_bound, named_bound, viewing_distance
from transpose.pages.photo_list import photo_list
from transpose.pages.report import Origin, SectionResults, write_report
from transpose.pages.report_tables import calibration_sentences, calibration_words, telling_bounds
from transpose.pages.wording import duration, length
from transpose.scenes.facts import record_in_scene
from transpose.scenes.truth_error import TruthError
from transpose.worlds.top_down import map_limits, top_down
from transpose.worlds.world import save_world, vertex_colored_world


def test_the_error_of_the_truth_is_told() -> None:
    exact = make_results()
    off = [replace(result, truth_error=TruthError(0.4, 1.0)) for result in exact]
    (told,) = calibration_sentences({"test": off})
    assert "true poses are themselves off by 40.0 cm and 1.0" in told and "added to each pose's covariance" in told
    assert "true poses" not in calibration_sentences({"test": exact})[0]


LOG = [{"step": 250 * i, "loss": -i, "train_median_m": 0.3 / i, "val_median_m": 0.4 / i, "seconds": i} for i in (1, 2)]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = save_run(tmp_path / "run", tmp_path / "scene")
    for entry in LOG:
        runs.append_log(folder, entry)
    return folder


@pytest.fixture
def world(tmp_path: Path) -> Path:
    corners = np.array([[-3, -3, 2], [3, -3, 2], [3, 3, 2], [-3, 3, 2]], np.float32)
    faces, rgb = np.array([[0, 2, 1], [0, 3, 2]]), np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255], [99, 99, 99]])
    made = vertex_colored_world("wall", corners, faces, rgb, up_3=np.array([0.0, -1.0, 0.0]))
    return save_world(made, tmp_path / "world")


def without_scripts(page: str) -> str:
    return re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL)


def test_page_is_whole_and_self_contained(run: Path, world: Path, tmp_path: Path) -> None:
    section = make_section(tmp_path / "scene", "test")
    out = write_report(
        run,
        [SectionResults(section, make_results(), explanation="Five frames.")],
        tmp_path / "deep" / "report.html",
        world=world,
        notes=["Mind the <gap>."],
        rejection={"office": (48, 50)},
        localizer=Stub(),
        origin=Origin("a <machine>", "transpose report 'my run'"),
    )
    page = out.read_text()
    plain = without_scripts(page)
    assert out.stat().st_size < 8e6
    assert not re.search(r"""(src|href)\s*=\s*["']?\s*(https?:)?//""", plain) and "url(" not in plain
    assert page.count("plotly.js v") == 1
    assert "The median error over 5 photos of test is 3.00 cm" in plain and "1 was refused" in plain
    for text in ("77 frames", "1 min 4 s", "48 of 50", "96 %", "Mind the &lt;gap&gt;.", "Five frames.", "5.35"):
        assert text in plain, text
    assert "a pose is far more exact than its cells" in plain
    for text in ("World at the estimated pose", "Coordinate error", "Expected error", "No pose: no_consensus"):
        assert text in plain, text
    assert "a &lt;machine&gt;" in plain and "<pre>transpose report &#x27;my run&#x27;</pre>" in plain
    assert plain.count("<details>") == 5 and plain.count("In the 90 % ellipsoid</dt><dd>yes") == 3
    assert "the one that it has 2.50 cm. Of 4 poses, 3 lie in the region that should hold 9 of 10" in plain
    assert "interrupted" not in plain and "trained on test" not in plain
    assert "$" not in plain


def test_plot_data_parse_and_plotly_knows_every_key(run: Path, tmp_path: Path) -> None:
    from plotly.graph_objects import Figure

    results = make_results()
    plan = top_down(np.array([r.truth.center for r in results]))
    limits = map_limits(plan.places(np.array([r.truth.center for r in results])), np.zeros((0, 2)))
    exact = [{**LOG[0], "train_median_m": 0.0}]  # of which there is no logarithm
    drawn = [*error_figures({"a": results, "b": results}), *training_figures(LOG), *training_figures(exact)]
    for figure in [*drawn, map_figure(results, plan, limits, None)]:
        figure["layout"]["xaxis"]["range"] = list(figure["layout"]["xaxis"].get("range", [0, 1]))
        assert len(Figure(figure).data) == len(figure["data"]) > 0  # an unknown key raises
        assert json.loads(json.dumps(figure, allow_nan=False))["layout"]["xaxis"]


def test_names_from_files_are_escaped(run: Path, tmp_path: Path) -> None:
    section = make_section(tmp_path / "scene", EVIL)
    results = make_results()
    out = write_report(run, [SectionResults(section, results)], tmp_path / "r.html", notes=[EVIL], localizer=Stub())
    page = out.read_text()
    assert "<img src=x" not in page
    assert "&lt;img src=x onerror=alert(1)&gt;" in page
    figures = re.findall(r'<script type="application/json" class="plot-data">(.*?)</script>', page)
    assert len(figures) == 5
    assert not any("<img" in json.dumps(json.loads(text)) for text in figures)


def test_without_world_labels_log_and_covariances(run: Path, tmp_path: Path) -> None:
    (run / runs.LOG_FILE).unlink()
    section = make_section(tmp_path / "scene", "bare", depth=False)
    out = write_report(run, [SectionResults(section, make_results())], tmp_path / "r.html", localizer=Stub())
    plain = without_scripts(out.read_text())
    assert "World at the estimated pose" not in plain and "<figcaption>Coordinate error" not in plain
    assert "<h2>Training</h2>" not in plain and "Expected error" in plain


@pytest.mark.parametrize("refused", [(0, 1, 2, 3, 4), (0, 1, 2)])
def test_refusals_in_the_majority(run: Path, world: Path, tmp_path: Path, refused: tuple[int, ...]) -> None:
    section = make_section(tmp_path / "scene", "test")
    tests = [SectionResults(section, make_results(refused=refused)), SectionResults(section, make_results(1, ()))]
    page = write_report(run, tests, tmp_path / "r.html", world=world, localizer=Stub()).read_text()
    assert ("Nothing was localized" if len(refused) == 5 else "there is no median error") in page
    assert "test (2)" in page and "NaN" not in "".join(re.findall(r'class="plot-data">(.*?)<', page))


def test_interrupted_training_and_tests_on_training_frames_are_named(run: Path, tmp_path: Path) -> None:
    save_run(run, tmp_path / "scene", complete=False)
    section = make_section(tmp_path / "scene", "train_x")
    page = write_report(
        run, [SectionResults(section, make_results())], tmp_path / "r.html", localizer=Stub()
    ).read_text()
    assert "interrupted at step 500 of 1000" in page
    assert "trained on train_x" in page


def test_licences_are_named_where_they_are_stored(run: Path, tmp_path: Path) -> None:
    tests = [SectionResults(make_section(tmp_path / "scene", "test"), make_results())]

    def page() -> str:
        return write_report(run, tests, tmp_path / "r.html", localizer=Stub()).read_text(encoding="utf-8")

    assert "Licence of" not in page()
    save_run(run, tmp_path / "scene", licence="CC BY 4.0")
    assert re.search("Licence of the training data</dt><dd>CC BY 4.0", page())
    record_in_scene(tmp_path / "scene", licence="test only")
    assert re.search("Licence of the test data</dt><dd>test only", page())
    save_run(run, tmp_path / "scene", licence="test only")
    assert "Licence of the test data" not in page()


def test_a_method_without_coordinates_has_a_report(run: Path, world: Path, tmp_path: Path) -> None:
    section = make_section(tmp_path / "scene", "test")
    localizer = Plain(raises=(2,))
    results = localize_section(localizer, section)
    out = write_report(run, [SectionResults(section, results)], tmp_path / "r.html", world=world, localizer=localizer)
    plain = without_scripts(out.read_text(encoding="utf-8"))
    assert "This method predicts no coordinates" in plain and "World at the estimated pose" in plain
    assert "<figcaption>Coordinate error" not in plain and "<figcaption>Predicted" not in plain
    assert "1 of 5 frames of test could not be worked on" in plain and "frame-2: IndexError" in plain


def test_nothing_tested_is_an_error(run: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least one section"):
        write_report(run, [], tmp_path / "r.html", localizer=Stub())


@pytest.mark.parametrize(("frames", "refused"), [(1, 0), (2, 1), (3, 0), (30, 0), (30, 10), (5, 5), (9, 8)])
def test_chosen_frames_are_distinct_and_hold_the_extremes(frames: int, refused: int) -> None:
    results = make_results(frames, tuple(range(refused)))
    chosen = choose_frames(results, 8)
    stems = [result.stem for _, result in chosen]
    assert len(set(stems)) == len(stems) <= 8
    if refused:
        assert "Refused" in [why for why, _ in chosen]
    if refused < frames:
        assert f"frame-{refused}" in stems and f"frame-{frames - 1}" in stems


def test_bounds_that_tell_nothing_are_left_out() -> None:
    recall = {"1cm1deg": 0.0, "2cm2deg": 0.4, "5cm5deg": 0.8}
    names = ("10cm5deg", "25cm2deg", "50cm5deg", "3m3deg", "3m5deg", "5m5deg", "5m10deg", "10m7deg", "10m10deg")
    table = {"recall": recall | dict.fromkeys((*names, "20m10deg", "30m10deg"), 0.8)}
    assert telling_bounds([table], "5cm5deg") == ["2cm2deg", "5cm5deg"]


def test_words() -> None:
    assert [length(v) for v in (0.0052, 0.123, 1.234, 250.0, math.inf)] == [
        "0.52 cm",
        "12.3 cm",
        "1.23 m",
        "250 m",
        "–",
    ]
    assert [duration(v) for v in (0.064, 3.21, 59.99, 444.0, 7500.0)] == [
        "64 ms",
        "3.2 s",
        "1 min 0 s",
        "7 min 24 s",
        "2 h 5 min",
    ]
    half = headline(make_results(2, (1,)), "test", "photos", named_bound("5cm5deg"))
    assert half.startswith("Half of 2 photos of test were refused")
    assert "the one lies within 5 cm and 5°" in headline(make_results(1, ()), "test", "photos", named_bound("5cm5deg"))
    assert calibration_words(5.3) == "well calibrated" and "2.0 times as large" in calibration_words(4 * 5.35)


def test_unknown_errors_are_grey() -> None:
    rgb_hw3 = viridis(np.array([[0.0, 1.0, np.nan]]), 1.0)
    assert rgb_hw3[0, 2].tolist() == [214, 214, 217]
    assert rgb_hw3[0, 0].sum() < rgb_hw3[0, 1].sum()


def seen_from(distance: float, results: list[FrameResult]) -> list[FrameResult]:
    return [replace(result, estimate=replace(result.estimate, distance=distance)) for result in results]


def test_the_bound_fits_the_scene() -> None:
    results = make_results(5, ())  # 1 to 5 cm off
    assert marked_bound(results).name == marked_bound(seen_from(3.0, results)).name == "5cm5deg"
    marked = marked_bound(seen_from(41.3, results))
    assert marked.name is None and (marked.length, marked.degrees) == (pytest.approx(0.082), 0.2)
    assert "all 5 lie within 0.2 % of the viewing distance (8.2 cm at 41 m) and 0.2°" in headline(
        seen_from(41.3, results), "flight", "photos", marked
    )
    assert viewing_distance(make_results(2, (0, 1))) is None and marked.count(make_results(2, (0, 1))) == 0
    elsewhere = replace(results[0], truth=Pose(compose(np.eye(3), np.full(3, 99.0))))
    assert marked_bound(seen_from(12.0, [elsewhere])).degrees == 10


def test_photos_beyond_the_page_s_size_are_counted(tmp_path: Path) -> None:
    section = make_section(tmp_path / "scene", "test")
    page = photo_list(section, make_results(), None, 1, 4)
    assert page.count("<details>") == 4 and page.count("<img") == 1
    assert "3 are listed without pictures" in page and "1 more are left out" in page
    assert '<summary><span class="stem">frame-3</span> no pose: no_consensus' in page


def test_error_colours_are_those_of_most_cells() -> None:
    error_hw = np.abs(np.random.default_rng(0).normal(size=(40, 40)))
    wild_hw = np.where(np.random.default_rng(1).random((40, 40)) < 0.4, 100.0 * error_hw, error_hw)
    points_hw3 = np.zeros((40, 40, 3))
    scales = [_scale([FrameMaps(points_hw3, None, each)]) for each in (error_hw, wild_hw)]
    assert scales[0] == 2.0 and scales[1] <= 5.0
