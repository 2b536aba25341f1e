"""The shapes of buildings: blocks and the plots around them."""

from __future__ import annotations

import numpy as np

from transpose.village.site_layout import Block

_ROOFS = ("gable", "half-hip", "hip", "flat", "shed")
_PITCH_DEG = {"gable": (30, 47), "half-hip": (34, 47), "hip": (26, 38), "flat": (0, 0), "shed": (9, 16)}


def _main_block(rng: np.random.Generator, central: bool) -> Block:
    length, width = rng.uniform(8.0, 12.8), rng.uniform(6.8, 9.2)
    roof = str(rng.choice(_ROOFS, p=[0.47, 0.2, 0.18, 0.08, 0.07]))
    storeys = int(rng.choice([1, 2, 3], p=[0.1, 0.6, 0.3] if central else [0.42, 0.53, 0.05]))
    if roof == "hip":
        length = max(length, width + 1.5)
    along = roof == "shed" or rng.random() < 0.68
    if not along:
        length, width = width, length
    eave = 0.35 + 2.75 * storeys + rng.uniform(0.0, 0.7)
    pitch = rng.uniform(*_PITCH_DEG[roof])
    return Block(-length / 2, length / 2, -width / 2, width / 2, eave, roof, pitch, along, storeys)


def _wing(rng: np.random.Generator, main: Block) -> Block:
    """A wing behind the house that makes it L-shaped; it starts inside, so that no two walls share a plane."""
    width, depth = rng.uniform(0.42, 0.55) * (main.x1 - main.x0), rng.uniform(3.5, 6.0)
    x0 = main.x0 + 0.4 if rng.random() < 0.5 else main.x1 - 0.4 - width
    roof = str(rng.choice(["gable", "half-hip"]))
    pitch = min(main.pitch_deg, 40.0)
    return Block(x0, x0 + width, 0.0, main.y1 + depth, main.eave_m - 0.3, roof, pitch, False, main.storeys)


def _annex(rng: np.random.Generator, main: Block) -> Block:
    """A lower garage or shed beside the house."""
    width, depth = rng.uniform(3.1, 4.4), rng.uniform(5.2, 6.6)
    y0 = rng.uniform(main.y0 + 0.5, main.y1 - 0.5 - depth) if main.y1 - main.y0 > depth + 1.0 else main.y0 + 0.6
    roof = str(rng.choice(["flat", "flat", "gable", "shed"]))
    pitch = {"flat": 0.0, "gable": 28.0, "shed": 12.0}[roof]
    x0, x1 = (main.x1 - 0.3, main.x1 + width) if rng.random() < 0.5 else (main.x0 - width, main.x0 + 0.3)
    return Block(x0, x1, y0, y0 + depth, rng.uniform(2.45, 2.8), roof, pitch, roof != "gable", 1)


def house_blocks(rng: np.random.Generator, central: bool) -> tuple[Block, ...]:
    """A house: a main block and perhaps a wing or an annex."""
    main = _main_block(rng, central)
    draw = rng.random()
    if draw < 0.32 and main.roof not in ("flat", "shed"):
        return main, _wing(rng, main)
    if draw < 0.66:
        return main, _annex(rng, main)
    return (main,)


def barn_blocks(rng: np.random.Generator) -> tuple[Block, ...]:
    """A barn with a lean-to."""
    length, width = rng.uniform(15, 19), rng.uniform(9.5, 11.5)
    roof = "gable" if rng.random() < 0.6 else "half-hip"
    main = Block(-length / 2, length / 2, -width / 2, width / 2, rng.uniform(4.0, 5.0), roof, rng.uniform(27, 38))
    lean_to = Block(-length * 0.3, length * 0.25, width / 2 - 0.3, width / 2 + 4.0, 2.6, "shed", 9.0)
    return main, lean_to


def church_blocks(rng: np.random.Generator) -> tuple[Block, ...]:
    """A church: nave, tower at one end, apse at the other."""
    side = 1 if rng.random() < 0.5 else -1
    tower, apse = np.sort(side * np.array([[10.1, 15.3], [-9.7, -13.4]]), axis=1)
    return (
        Block(-10, 10, -4.7, 4.7, 6.6, "gable", rng.uniform(46, 52), True, 1),
        Block(tower[0], tower[1], -2.6, 2.6, rng.uniform(14.5, 17.0), "hip", rng.uniform(64, 71), True, 4),
        Block(apse[0], apse[1], -3.2, 3.2, 5.0, "hip", 38.0, False, 1),
    )


def plot_of(rng: np.random.Generator, blocks: tuple[Block, ...], front_m: float, back_m: float) -> tuple[float, ...]:
    """x0, x1, y0, y1 of the plot: the outline of the blocks with a garden around."""
    sides = rng.uniform(1.0, 2.9, 2)
    x0, x1 = min(block.x0 for block in blocks), max(block.x1 for block in blocks)
    y0, y1 = min(block.y0 for block in blocks), max(block.y1 for block in blocks)
    return x0 - sides[0], x1 + sides[1], y0 - front_m, y1 + back_m
