"""`transpose translate`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import tyro

from transpose.app.threads import Threads


@dataclass(frozen=True)
class Translate:
    """Learn to make the images of one section look like those of another, without pairs, and apply it.

    transpose translate SCENE --a renders --b photos --out RUN learns; transpose translate RUN --apply SCENE/renders
    writes a translated section, all labels kept. Whether anything moved in the images is measured and told.
    """

    place: tyro.conf.Positional[Path]
    """The scene folder to learn in, or the run folder of a translation that was learned."""
    a: str | None = None
    """Section whose images are translated."""
    b: str | None = None
    """Section whose looks they are to have."""
    out: Path | None = None
    """The run folder of what is learned."""
    method: Literal["cut", "fastcut", "cyclegan"] = "cut"
    """cut: one way, by patches that stay alike. fastcut: faster. cyclegan: both ways."""
    size: Literal["auto", "small", "full"] = "auto"
    """full: the published networks, for GPUs; small: some minutes on two cores. auto: by --device."""
    apply: Path | None = None
    """SCENE/SECTION to translate, when all is learned."""
    into: str | None = None
    """Name of the section that is written beside it; SECTION_METHOD by default."""
    back: bool = False
    """Apply the way from b to a (cyclegan)."""
    steps: int | None = None
    """Training steps; by default those of the size, see docs/translation.md."""
    minutes: float | None = None
    """Time that learning may take here: steps become fewer so that it fits."""
    batch: int | None = None
    """Crops of either section a step, over all processes; 1 by default."""
    crop: int | None = None
    """Side in pixels of the squares that are learned from; 256 by default."""
    learning_rate: float | None = None
    """The largest of the schedule."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """auto: bfloat16 where the hardware has it."""
    seed: int = 0
    """Same seed, machine and thread count: same result."""
    device: str = "cpu"
    """cpu, cuda, cuda:1 ..."""
    threads: Threads = None
    resume: bool = False
    """Go on with a run that was cut off."""
    overwrite: bool = False
    """Replace a run, or a translated section, that exists."""

    def run(self) -> None:
        """Learns, or applies, or both."""
        from transpose.app.console import say
        from transpose.parallel import use_threads

        self._check()
        use_threads(self.threads)  # before what follows loads PyTorch
        from transpose.app.services.training import talks

        run = self.place if self.out is None else self._learned(self.out)
        if self.apply is None or not talks():
            return
        from transpose.app.services.translating import Translator, apply

        translator = Translator.of_run(run, "to_a" if self.back else "to_b", self.device, self.precision)
        into = self.into or f"{self.apply.name}_{translator.method}"
        say(str(apply(translator, self.apply, into, self.overwrite)))

    def _learned(self, out: Path) -> Path:
        from transpose.app.services.training import say_model, talks
        from transpose.app.services.translating import show_examples, translation_callbacks
        from transpose.training.request import Request
        from transpose.training.translation import train_translation

        assert self.a is not None and self.b is not None
        request = Request(
            self.place, (self.a, self.b), out, device=self.device, resume=self.resume, overwrite=self.overwrite
        )
        model = train_translation(request, self._settings(), translation_callbacks())
        if talks():
            show_examples(out, self.place, self.device, self.precision)
        say_model(model)
        return out

    def _check(self) -> None:
        from transpose.errors import TransposeError

        learns = [name for name in ("a", "b", "out") if getattr(self, name) is not None]
        if learns and len(learns) < 3:
            raise TransposeError("learning a translation takes --a, --b and --out; applying one, a run and --apply")
        if not learns and self.apply is None:
            raise TransposeError("name --a, --b and --out to learn a translation, or --apply SCENE/SECTION")
        if (self.into or self.back) and self.apply is None:
            raise TransposeError("--into and --back go with --apply SCENE/SECTION")
        if self.into and Path(self.into).name != self.into:
            raise TransposeError(f"--into is the name of a section beside --apply, not a path: {self.into}")

    def _settings(self) -> dict[str, Any]:
        """The fields of the configuration that were given."""
        given = {name: getattr(self, name) for name in ("steps", "minutes", "batch", "crop", "learning_rate")}
        size = self.size if self.size != "auto" else "small" if self.device == "cpu" else "full"
        settings = {name: value for name, value in given.items() if value is not None}
        return settings | {"method": self.method, "size": size, "seed": self.seed, "precision": self.precision}
