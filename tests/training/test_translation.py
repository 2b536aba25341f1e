"""Translation through the one loop: whose gradients go where, what is drawn, and that a run goes on as if never cut."""

import shutil
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.conftest import looking_down
from transpose import load, runs
from transpose.errors import TransposeError
from transpose.geometry import Camera
from transpose.models.translation.patches import PatchProjections
from transpose.scenes.layout import open_section
from transpose.scenes.writer import FrameLabels, SectionWriter
from transpose.training.context import Callbacks
from transpose.training.ranks import ALONE, Ranks
from transpose.training.request import Request
from transpose.training.translation import TranslationConfig, train_translation
from transpose.training.translation.losses import ContrastiveLosses, CycleLosses, WeightedSum
from transpose.training.translation.pairs import ImagePairs, PairSource, Side
from transpose.training.translation.pool import Pool
from transpose.training.translation.start import configured_translation, losses_of
from transpose.training.translation.stored import generator_of, load_translation, translated
from transpose.worlds.render_section import render_section
from transpose.worlds.viewpoints import Viewpoint
from transpose.worlds.world import World, save_world

CPU = torch.device("cpu")
TINY = {"steps": 3, "crop": 32, "patches": 16, "report_every": 2, "precision": "float32"}


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory, box_world: World) -> Path:
    """Three renders with holes, and two photos of another size."""
    folder = tmp_path_factory.mktemp("translation")
    camera = Camera.from_focal(60.0, 64, 48)
    viewpoints = [Viewpoint(camera, looking_down(3.4, y, 3.0, yaw=30.0 * y)) for y in (-2.0, 0.0, 2.0)]
    render_section(save_world(box_world, folder / "world"), viewpoints, (folder / "scene", "sim"), {}, processes=1)
    writer = SectionWriter(folder / "scene", "photos", {})
    rng = np.random.default_rng(0)
    for name in ("one", "two"):
        image_hw3 = rng.integers(0, 255, (40, 50, 3)).astype(np.uint8)
        writer.add(name, image_hw3, looking_down(0, 0, 3), Camera.from_focal(60.0, 50, 40), FrameLabels())
    writer.finish({})
    return folder / "scene"


def pairs(seed: int = 0, side: int = 32, b: int = 2) -> ImagePairs:
    generator = torch.Generator().manual_seed(seed)
    a_b3hw, b_b3hw = (torch.rand(b, 3, side, side, generator=generator) * 2 - 1 for _ in range(2))
    return ImagePairs(a_b3hw, b_b3hw, torch.ones(b, 1, side, side, dtype=torch.bool), seed)


@pytest.mark.parametrize("method", ["cut", "fastcut", "cyclegan"])
def test_makers_and_judges_learn_from_their_own_losses_alone(method: str) -> None:
    losses = losses_of(TranslationConfig(method=method, crop=32, patches=16))
    raw_nk = losses(pairs())
    assert raw_nk.shape == (2, len(losses.names)) and raw_nk.isfinite().all()
    for number, name in enumerate(losses.names):
        losses.zero_grad()
        raw_nk[:, number].sum().backward(retain_graph=True)
        taught = {"makers": losses.makers(), "judges": losses.judges()}
        moved = {who for who, weights in taught.items() if any(w.grad is not None and w.grad.any() for w in weights)}
        assert moved == ({"judges"} if name in ("made", "real") else {"makers"}), name
    assert len(losses.makers()) + len(losses.judges()) == len(list(losses.parameters()))


def test_each_image_has_its_own_loss() -> None:
    losses = losses_of(TranslationConfig(crop=32, patches=16))
    both = pairs()
    single = ImagePairs(both.a_b3hw[1:], both.b_b3hw[1:], both.seen_b1hw[1:], both.seed)
    torch.testing.assert_close(losses(both)[1:], losses(single), rtol=1e-4, atol=1e-5)


def test_the_sum_has_the_published_weights() -> None:
    config = TranslationConfig(method="fastcut")
    losses = losses_of(config)
    total_n, facts = WeightedSum(losses.names, config.published.weights)(torch.tensor([[1.0, 2, 3, 4]]), None, 0)
    assert losses.names == ("adversarial", "nce", "made", "real")
    assert total_n.tolist() == [1 + 10 * 2 + 0.5 * 3 + 0.5 * 4] and facts["nce"] == 2


class Unchanged(torch.nn.Module):
    """A generator that returns what it is given, whose only map is the image itself."""

    def with_taps(self, image_b3hw: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        return image_b3hw, [image_b3hw]

    def taps(self, image_b3hw: torch.Tensor) -> list[torch.Tensor]:
        return [image_b3hw]


def test_a_mirrored_image_is_held_against_the_image_itself() -> None:
    """Whoever mirrors with its input has the least loss, mirrored or not."""
    config = TranslationConfig(method="fastcut")
    losses = ContrastiveLosses(config.generator, config.discriminator, 16, identity=False, mirrors=True)
    losses.generators["to_b"], losses.projections = Unchanged(), PatchProjections((3,))
    torch.nn.init.normal_(losses.projections.projections[0][0].weight)
    nce, verdicts = {}, {}
    for seed in range(6):
        shown = pairs(0)._replace(seed=seed)
        mirrored = bool(torch.rand((), generator=torch.Generator().manual_seed(seed)) < 0.5)
        losses._mirrors = True
        as_drawn = losses(shown)
        # The same places, without mirroring.
        generator = torch.Generator().manual_seed(seed)
        torch.rand((), generator=generator)
        plain = losses._nce([shown.a_b3hw], [shown.a_b3hw], generator)
        torch.testing.assert_close(as_drawn[:, 1], plain)
        nce[mirrored], verdicts[mirrored] = as_drawn[:, 1], as_drawn[:, 0]
    assert len(nce) == 2 and not torch.equal(verdicts[True], verdicts[False])  # what is judged is mirrored


def test_holes_tell_a_discriminator_nothing() -> None:
    seen = pairs()
    seen.seen_b1hw[:, :, :10] = False
    a_hole = seen.a_b3hw.clone()
    a_hole[:, :, :10] = 1.0
    assert torch.equal(seen.judged(a_hole), seen.judged(seen.a_b3hw))
    assert (seen.judged(seen.b_b3hw)[:, :, :10] == -1).all()


def test_the_pool_fills_and_then_exchanges() -> None:
    pool, draw = Pool(4, size=3), torch.Generator().manual_seed(1)
    images = [torch.full((1, 3, 4, 4), value / 127.5 - 1) for value in range(0, 200, 5)]
    for image in images[:3]:
        assert torch.equal(pool(image, draw), image)
    out = [pool(image, draw) for image in images[3:]]
    old = [not torch.equal(each, image) for each, image in zip(out, images[3:], strict=True)]
    assert 0.2 < np.mean(old) < 0.8
    given = [round((float(each[0, 0, 0, 0]) + 1) * 127.5) for each, is_old in zip(out, old, strict=True) if is_old]
    assert len(set(given)) == len(given) and set(given) <= set(range(0, 200, 5))  # each comes back once, as it was
    kept = sorted(pool.kept_n3hw[:, 0, 0, 0].tolist())
    assert len(set(kept)) == 3 and not set(kept) & set(given)


def test_parts_and_ranks_share_the_crops_of_a_step(scene: Path) -> None:
    a, b = (Side.of(open_section(scene / name), 32) for name in ("sim", "photos"))

    def source(ranks: Ranks = ALONE) -> PairSource:
        return PairSource(a, b, 32, 4, seed=0, device=CPU, ranks=ranks)  # more than either section has

    with closing(source()) as whole, closing(source()) as again:
        (first, _), (second, _) = whole.batch(0, 0, 1), whole.batch(1, 0, 1)
        assert first.a_b3hw.shape == (4, 3, 32, 32) and first.a_b3hw.abs().max() <= 1
        assert not first.seen_b1hw.all() and first.seen_b1hw.any()
        assert torch.equal(again.batch(1, 0, 1)[0].b_b3hw, second.b_b3hw) and not torch.equal(*[first[0], second[0]])
        shared = []
        for rank in range(2):
            with closing(source(Ranks(rank, 2))) as mine:
                shared.append(mine.batch(0, 0, 1)[0].a_b3hw)
        assert torch.equal(torch.cat(shared), first.a_b3hw)
        assert torch.equal(torch.cat([whole.batch(0, part, 2)[0].b_b3hw for part in range(2)]), first.b_b3hw)


def interrupted(request: Request, settings: dict[str, object], after: int) -> None:
    def report(entry: dict[str, float]) -> None:
        if entry["step"] >= after:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_translation(request, settings, Callbacks(report=report))


@pytest.mark.parametrize("method", ["cut", "fastcut", "cyclegan"])
def test_a_run_goes_on_as_if_it_had_not_been_cut(scene: Path, tmp_path: Path, method: str) -> None:
    settings = {**TINY, "method": method}
    train_translation(Request(scene, ("sim", "photos"), tmp_path / "whole"), settings)
    interrupted(Request(scene, ("sim", "photos"), tmp_path / "cut"), settings, after=2)
    assert runs.load_model(tmp_path / "cut").progress.complete is False
    train_translation(Request(scene, ("sim", "photos"), tmp_path / "cut", resume=True), settings)
    whole, again = (runs.load_model(tmp_path / name) for name in ("whole", "cut"))
    assert whole.progress.complete and whole.progress.steps_done == 3
    assert whole.network.weights.keys() == again.network.weights.keys()
    for name, value in whole.network.weights.items():
        assert torch.equal(value, again.network.weights[name]), name
    states = [runs.load_state(tmp_path / name)["weights"] for name in ("whole", "cut")]
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())
    assert [entry["step"] for entry in runs.read_log(tmp_path / "cut")] == [2, 3]


def test_a_run_goes_on_in_its_own_direction(scene: Path, tmp_path: Path) -> None:
    interrupted(Request(scene, ("sim", "photos"), tmp_path / "run"), TINY, after=2)
    with pytest.raises(TransposeError, match="was begun on sim, photos in this order"):
        train_translation(Request(scene, ("photos", "sim"), tmp_path / "run", resume=True), TINY)


def test_a_limit_of_time_makes_steps_fewer(scene: Path, tmp_path: Path) -> None:
    settings = {**TINY, "steps": 10**6, "minutes": 0.01}
    train_translation(Request(scene, ("sim", "photos"), tmp_path / "run"), settings)
    model = runs.load_model(tmp_path / "run")
    assert model.progress.complete and 0 < model.progress.steps_done < 10**4
    assert model.provenance.config["steps"] == model.progress.steps_done


def test_a_run_is_no_localizer_but_translates_images_of_any_size(scene: Path, tmp_path: Path) -> None:
    train_translation(Request(scene, ("sim", "photos"), tmp_path / "run"), {**TINY, "steps": 1})
    with pytest.raises(TransposeError, match="holds no localizer: it translates images"):
        load(tmp_path / "run")
    checkpoint = load_translation(tmp_path / "run")
    generator = generator_of(checkpoint)
    for shape in ((48, 64, 3), (41, 53, 3)):
        image_hw3 = np.random.default_rng(0).integers(0, 255, shape).astype(np.uint8)
        assert translated(generator, image_hw3).shape == shape
    with pytest.raises(TransposeError, match="cut learned the way from sim to photos alone"):
        generator_of(checkpoint, "to_a")


def test_what_does_not_do_is_refused_before_anything_is_written(scene: Path, tmp_path: Path) -> None:
    with pytest.raises(TransposeError, match="--a and --b are both sim"):
        train_translation(Request(scene, ("sim", "sim"), tmp_path / "run"), TINY)
    with pytest.raises(TransposeError, match=r"is 50 x 40, smaller than the crops of 48 pixels .* a smaller --crop"):
        train_translation(Request(scene, ("sim", "photos"), tmp_path / "run"), {**TINY, "crop": 48})
    with pytest.raises(TransposeError, match="a multiple of 4"):
        train_translation(Request(scene, ("sim", "photos"), tmp_path / "run"), {**TINY, "crop": 33})
    assert not (tmp_path / "run").exists()
    train_translation(Request(scene, ("sim", "photos"), tmp_path / "run"), {**TINY, "steps": 1})
    with pytest.raises(TransposeError, match="holds a run already"):
        train_translation(Request(scene, ("sim", "photos"), tmp_path / "run"), TINY)


def test_a_collapse_ends_the_training_and_keeps_what_was_good(scene: Path, tmp_path: Path) -> None:
    with pytest.raises(TransposeError, match=r"became (nan|inf) at step .* nothing was saved yet"):
        train_translation(Request(scene, ("sim", "photos"), tmp_path / "run"), {**TINY, "learning_rate": 1e30})
    assert not (tmp_path / "run" / "model.pt").exists()


def test_the_full_size_is_the_published_one() -> None:
    config = configured_translation({"method": "cut", "size": "full"}, images=10)
    assert (config.steps, config.learning_rate) == (4000, 2e-4)
    assert config.generator.channels == 64 and config.generator.blocks == 9 and not config.generator.correction
    assert configured_translation({"method": "cyclegan", "size": "full"}, 10).generator.antialias is False
    assert isinstance(losses_of(TranslationConfig(method="cyclegan", crop=32)), CycleLosses)


def test_a_section_that_changed_is_refused(scene: Path, tmp_path: Path) -> None:
    shutil.copytree(scene, tmp_path / "scene")
    interrupted(Request(tmp_path / "scene", ("sim", "photos"), tmp_path / "run"), TINY, after=2)
    (tmp_path / "scene" / "photos" / "rgb" / "one.png").rename(tmp_path / "one.png")
    for layer in ("poses", "calibration"):
        (tmp_path / "scene" / "photos" / layer / "one.txt").unlink()
    with pytest.raises(TransposeError, match="photos changed since"):
        train_translation(Request(tmp_path / "scene", ("sim", "photos"), tmp_path / "run", resume=True), TINY)
