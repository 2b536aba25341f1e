"""Models of small things, in colours of their own: cars, benches, lamps, stalls, what stands in gardens."""

from __future__ import annotations

import numpy as np

from transpose.village.maps import rectangle
from transpose.village.parts import Color, Kind, MeshBuilder, Texture, box, boxed_uv, cylinder, prism, to_village_frame

Mesh = tuple[np.ndarray, np.ndarray]


class Stand:
    """Puts solids that are modelled about the origin onto one place of the ground."""

    def __init__(self, builder: MeshBuilder, at_3: np.ndarray, yaw: float) -> None:
        self._builder, self._at, self._yaw = builder, at_3, yaw

    def put(self, mesh: Mesh, rgb: Color | np.ndarray, texture: Texture = Texture.NONE, tile_m: float = 4.0) -> None:
        """Adds one solid, in a colour or in a repeating texture."""
        vertices, faces = mesh
        uv = None if texture == Texture.NONE else boxed_uv(vertices, faces, tile_m, self._at[:2])
        color = np.clip(np.asarray(rgb, float), 0, 255).astype(np.uint8)
        self._builder.add(to_village_frame(vertices, self._at, self._yaw), faces, Kind.OBJECT, texture, uv, color)

    def box(
        self, x: tuple[float, float], y: tuple[float, float], z: tuple[float, float], rgb: Color | np.ndarray
    ) -> None:
        """Adds a box."""
        self.put(box(*x, *y, *z), rgb)


def _lying(mesh: Mesh) -> Mesh:
    """Turns an upright solid's axis into the y direction."""
    vertices, faces = mesh
    return np.column_stack([vertices[:, 0], -vertices[:, 2], vertices[:, 1]]), faces


def _shifted(mesh: Mesh, x: float, y: float, z: float) -> Mesh:
    return mesh[0] + [x, y, z], mesh[1]


CAR_COLORS = (
    (196, 198, 200), (58, 60, 64), (142, 34, 36), (38, 62, 112), (226, 226, 222), (96, 104, 92), (118, 124, 130),
    (166, 128, 60), (52, 92, 96), (30, 32, 36), (150, 78, 44), (108, 130, 158),
)  # fmt: skip


def car(stand: Stand, rng: np.random.Generator) -> None:
    """A car that heads along x: saloon, estate or van, about 4.3 m long."""
    paint = np.array(CAR_COLORS[int(rng.integers(0, len(CAR_COLORS)))]) * rng.uniform(0.9, 1.08)
    half, wide, high = rng.uniform(1.95, 2.3), rng.uniform(0.82, 0.9), rng.uniform(1.38, 1.55)
    rear, front = rng.choice([-0.45, -0.92]) * half, rng.uniform(0.2, 0.38) * half
    if rng.random() < 0.15:
        high, rear, front = 1.95, -0.96 * half, 0.55 * half
    glass = np.array([40, 46, 52]) + rng.uniform(0, 20)
    stand.box((-half + 0.1, half - 0.1), (-wide + 0.08, wide - 0.08), (0.1, 0.34), (24, 24, 26))
    outline = rectangle(-half, half, -wide, wide)
    stand.put(prism(outline, 0.3, 0.62, outline * [0.995, 1.0]), paint * 0.92)
    stand.put(prism(outline * [0.995, 1.0], 0.62, 0.88, outline * [0.965, 0.93]), paint)
    cabin = rectangle(rear - 0.1, front + 0.5, -wide * 0.93, wide * 0.93)
    top = rectangle(rear + 0.12, front - 0.25, -wide * 0.74, wide * 0.74)
    stand.put(prism(cabin, 0.87, high - 0.05, top), glass)
    stand.put(prism(top, high - 0.06, high, top * [0.99, 0.95]), paint * 1.05)
    for post in (rear + 0.35, (rear + front) / 2 + 0.1):
        for side in (-1, 1):
            foot, head = side * wide * 0.935, side * wide * 0.745
            low = rectangle(post - 0.05, post + 0.05, *sorted((foot, foot - side * 0.05)))
            shift = np.array([0.0, head - foot])
            stand.put(prism(low, 0.87, high - 0.04, low + shift), paint)
    for x in (-0.62 * half, 0.62 * half):
        for y in (-wide + 0.1, wide - 0.1):
            stand.put(_shifted(_lying(cylinder(0.32, -0.11, 0.11, 8)), x, y, 0.32), (28, 28, 30))
            stand.put(_shifted(_lying(cylinder(0.19, -0.12, 0.12, 5)), x, y, 0.32), (140, 142, 144))
    for x, rgb in ((half - 0.02, (224, 224, 214)), (-half + 0.02, (150, 30, 28))):
        for y in (-wide + 0.2, wide - 0.2):
            stand.box((x - 0.03, x + 0.03), (y - 0.14, y + 0.14), (0.6, 0.74), rgb)
        stand.box((x - 0.025, x + 0.025), (-0.26, 0.26), (0.42, 0.53), (220, 220, 214))


def bench(stand: Stand, rng: np.random.Generator) -> None:
    """A bench that looks along y."""
    wood = np.array([122, 88, 58]) * rng.uniform(0.8, 1.2)
    for y in (-0.2, 0.0, 0.2):
        stand.box((-0.85, 0.85), (y - 0.08, y + 0.08), (0.42, 0.47), wood)
    for z in (0.58, 0.76):
        stand.box((-0.85, 0.85), (-0.32, -0.27), (z, z + 0.13), wood * 0.95)
    for x in (-0.7, 0.7):
        stand.box((x - 0.05, x + 0.05), (-0.3, 0.25), (-0.2, 0.42), (72, 72, 74))
        stand.box((x - 0.04, x + 0.04), (-0.34, -0.28), (0.3, 0.9), (72, 72, 74))


def lamp(stand: Stand, rng: np.random.Generator) -> None:
    """A street lamp whose arm reaches along y."""
    high = rng.uniform(4.4, 5.4)
    stand.put(cylinder(0.09, -0.4, 1.0, 8), (64, 68, 66))
    stand.put(cylinder(0.06, 1.0, high, 6), (84, 88, 86))
    stand.box((-0.04, 0.04), (0.0, 1.0), (high - 0.08, high), (84, 88, 86))
    stand.box((-0.13, 0.13), (0.7, 1.25), (high - 0.02, high + 0.1), (62, 64, 66))
    stand.box((-0.1, 0.1), (0.75, 1.2), (high - 0.06, high - 0.02), (226, 222, 204))


def bale(stand: Stand, rng: np.random.Generator) -> None:
    """A round bale of straw on its side."""
    radius = rng.uniform(0.55, 0.7)
    stand.put(
        _shifted(_lying(cylinder(radius, -0.6, 0.6, 12)), 0, 0, radius - 0.05), (190, 165, 105), Texture.STRAW, 3.0
    )


def fountain(stand: Stand, rng: np.random.Generator) -> None:
    """A stone basin with water and a column."""
    stand.put(cylinder(1.9, -0.4, 0.2, 12), (150, 146, 138), Texture.STONE, 6.0)
    stand.put(cylinder(1.5, 0.2, 0.72, 12, 1.6), (168, 162, 150), Texture.STONE, 6.0)
    stand.put(cylinder(1.38, 0.7, 0.74, 12), (84, 112, 116))
    stand.put(cylinder(0.3, 0.7, 2.3, 8, 0.2), (162, 156, 144), Texture.STONE, 6.0)
    stand.put(cylinder(0.45, 2.3, 2.5, 8, 0.55), (172, 166, 152))
    stand.put(cylinder(0.24, 2.5, 3.1 + 0.3 * rng.random(), 6, 0.02), (120, 108, 80))


def stall(stand: Stand, rng: np.random.Generator) -> None:
    """A market stall with a striped awning and crates."""
    first = np.array([(190, 52, 48), (56, 104, 70), (52, 84, 140), (206, 150, 50)][int(rng.integers(0, 4))])
    stand.box((-1.4, 1.4), (-0.5, 0.4), (0.0, 0.85), (132, 98, 66))
    for x in (-1.4, 1.4):
        for y in (-0.7, 0.9):
            stand.box((x - 0.04, x + 0.04), (y - 0.04, y + 0.04), (-0.2, 2.1), (110, 82, 58))
    for number, x in enumerate(np.arange(-1.6, 1.55, 0.4)):
        z = np.array([2.0, 2.0, 2.5, 2.5])
        awning = rectangle(x, x + 0.4, -1.0, 1.1)
        stand.put(prism(awning, z, z + 0.05), first if number % 2 else (228, 222, 208))
    for x in np.arange(-1.2, 1.2, 0.5):
        goods = np.array([(196, 80, 50), (210, 170, 60), (96, 140, 60), (150, 60, 90)][int(rng.integers(0, 4))])
        stand.box((x, x + 0.42), (-0.4, 0.3), (0.85, 1.0), goods * rng.uniform(0.8, 1.1))


def laundry(stand: Stand, rng: np.random.Generator) -> None:
    """Two posts and washing on a line."""
    for x in (-2.2, 2.2):
        stand.box((x - 0.05, x + 0.05), (-0.05, 0.05), (-0.3, 1.9), (120, 120, 118))
    stand.box((-2.2, 2.2), (-0.015, 0.015), (1.82, 1.85), (200, 200, 196))
    x = -2.0
    while x < 1.6:
        wide, long = rng.uniform(0.4, 0.9), rng.uniform(0.5, 1.2)
        cloth = np.clip(
            rng.choice([[226, 226, 222], [90, 120, 170], [190, 80, 80], [220, 196, 120], [120, 150, 110]]), 0, 255
        )
        stand.box((x, x + wide), (-0.03, 0.03), (1.84 - long, 1.84), cloth)
        x += wide + rng.uniform(0.05, 0.4)


def shed(stand: Stand, rng: np.random.Generator) -> None:
    """A garden shed of boards with a sloping roof."""
    wide, deep, high = rng.uniform(1.0, 1.5), rng.uniform(0.8, 1.2), rng.uniform(1.9, 2.2)
    outline = rectangle(-wide, wide, -deep, deep)
    z = high + np.array([0.3, 0.3, 0.0, 0.0])
    stand.put(prism(outline, -0.3, z), (130, 100, 72), Texture.WOOD, 3.5)
    stand.put(prism(outline * 1.12, z, z + 0.08), np.array([96, 84, 78]) * rng.uniform(0.7, 1.3))
    stand.box((-0.4, 0.4), (-deep - 0.02, -deep), (0.0, 1.75), np.array([96, 70, 50]) * rng.uniform(0.7, 1.3))


def trampoline(stand: Stand, rng: np.random.Generator) -> None:
    """A round trampoline with a coloured rim."""
    radius = rng.uniform(1.2, 1.8)
    stand.put(cylinder(radius, 0.55, 0.62, 14), np.array([(44, 92, 160), (70, 130, 70)][int(rng.integers(0, 2))]))
    stand.put(cylinder(radius * 0.8, 0.6, 0.64, 14), (40, 40, 44))
    for angle in np.arange(5) * 2 * np.pi / 5:
        x, y = 0.9 * radius * np.cos(angle), 0.9 * radius * np.sin(angle)
        stand.box((x - 0.04, x + 0.04), (y - 0.04, y + 0.04), (-0.2, 0.56), (90, 90, 92))


def parasol(stand: Stand, rng: np.random.Generator) -> None:
    """A table with chairs under a parasol."""
    cloth = np.array([(206, 190, 150), (150, 72, 64), (82, 108, 98), (208, 204, 194)][int(rng.integers(0, 4))])
    stand.put(cylinder(0.03, 0, 2.4, 6), (180, 178, 172))
    stand.put(cylinder(1.35, 2.1, 2.5, 8, 0.05), cloth)
    stand.put(cylinder(0.6, 0.68, 0.72, 10), (206, 200, 188))
    for angle in np.arange(4) * np.pi / 2 + rng.uniform(0, 1):
        x, y = 0.95 * np.cos(angle), 0.95 * np.sin(angle)
        stand.box((x - 0.22, x + 0.22), (y - 0.22, y + 0.22), (0.38, 0.44), (128, 98, 70))
        stand.box((x - 0.2, x + 0.2), (y - 0.2, y + 0.2), (-0.1, 0.38), (74, 66, 58))


def bins(stand: Stand, rng: np.random.Generator) -> None:
    """Rubbish bins."""
    for number in range(int(rng.integers(1, 4))):
        body = np.array([(58, 64, 60), (40, 70, 120), (120, 90, 46), (64, 96, 60)][int(rng.integers(0, 4))])
        x = 0.7 * number
        stand.put(_shifted(box(-0.27, 0.27, -0.3, 0.3, -0.1, 0.95, -0.03), x, 0, 0), body)
        stand.box((x - 0.31, x + 0.31), (-0.34, 0.34), (0.95, 1.04), body * 1.2)


def woodpile(stand: Stand, rng: np.random.Generator) -> None:
    """Stacked firewood under a sheet."""
    half = rng.uniform(0.9, 1.8)
    stand.put(box(-half, half, -0.35, 0.35, -0.2, 1.15), (130, 100, 70), Texture.STRAW, 2.0)
    stand.box((-half - 0.1, half + 0.1), (-0.45, 0.45), (1.15, 1.2), np.array([88, 96, 104]) * rng.uniform(0.7, 1.3))


def play_tower(stand: Stand, rng: np.random.Generator) -> None:
    """A climbing frame with a slide."""
    for x in (-0.6, 0.6):
        for y in (-0.6, 0.6):
            stand.box((x - 0.06, x + 0.06), (y - 0.06, y + 0.06), (-0.2, 2.3), (150, 112, 70))
    stand.box((-0.66, 0.66), (-0.66, 0.66), (1.1, 1.18), (150, 112, 70))
    stand.put(cylinder(1.05, 2.2, 2.9, 4, 0.05), (176, 60, 50))
    slide = rectangle(0.66, 3.0, -0.3, 0.3)
    z = np.array([1.15, 0.1, 0.1, 1.15])
    stand.put(prism(slide, z, z + 0.06), np.array([(220, 180, 50), (60, 110, 170)][int(rng.integers(0, 2))]))
