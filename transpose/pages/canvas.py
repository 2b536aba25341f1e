"""What every drawn figure shares: made without a screen, light in its frame, written in one step.

matplotlib takes a second to import, so it is imported where it is used.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from transpose.storage import replacing_file

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Layout = Literal["constrained"] | None
_DPI = 150


def new_figure(width_in: float, height_in: float, layout: Layout = "constrained") -> Figure:
    """An empty figure that is drawn without a screen; `layout` None: axes stay where they are put."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width_in, height_in), dpi=_DPI, layout=layout)
    FigureCanvasAgg(figure)
    return figure


def save_png(figure: Figure, path: Path) -> Path:
    """Writes a figure as PNG, in one step; the folder is made."""
    with replacing_file(path) as temporary:
        figure.savefig(temporary, format="png")
    return path


def clean_axes(axes: Axes) -> None:
    """A light grid, and no frame where there is no axis."""
    axes.grid(color="#e4e4e4", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def plain_ticks(axis: Any) -> None:
    """Ticks as 1, 2, 5, 10 instead of powers."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axis.set_major_locator(LogLocator(10, subs=(1, 2, 5)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def plain_text(text: str) -> str:
    """Keeps matplotlib from reading dollar signs as formulas."""
    return text.replace("$", r"\$")
