"""Imports point down: a module may import only from rooms on floors below its own."""

import ast
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "transpose"
FLOOR = {
    "errors": -3,
    "cluster": -2,
    "randomness": -2,
    "selection": -2,
    "storage": -2,
    "geometry": 0,
    "solvers": 1,
    "models": 1,
    "losses": 1,
    "scenes": 1,
    "runs": 2,
    "worlds": 2,
    "localization": 3,
    "village": 3,
    "training": 4,
    "evaluation": 5,
    "app": 6,
}
# The package itself offers `transpose.load` lazily, and `__main__` is the door.
EXEMPT = {"__init__", "__main__"}


def room_of(module: str) -> str | None:
    parts = module.split(".")
    return parts[1] if parts[0] == "transpose" and len(parts) > 1 else None


def imported_modules(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path} uses a relative import"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def test_every_room_has_a_floor() -> None:
    rooms = {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert rooms - EXEMPT == set(FLOOR)


def test_imports_point_down() -> None:
    wrong = []
    for path in PACKAGE.rglob("*.py"):
        room = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        if room in EXEMPT:
            continue
        for module in imported_modules(path):
            other = room_of(module)
            if other in FLOOR and other != room and FLOOR[other] >= FLOOR[room]:
                wrong.append(f"{path.relative_to(PACKAGE)} ({room}) imports {module}")
    assert not wrong, "\n".join(wrong)


def test_files_and_functions_stay_readable() -> None:
    long = []
    for path in PACKAGE.rglob("*.py"):
        text = path.read_text()
        if text.count("\n") > 330:
            long.append(f"{path.name}: {text.count(chr(10))} lines")
        for node in ast.walk(ast.parse(text)):
            size = node.end_lineno - node.lineno + 1 if isinstance(node, ast.FunctionDef) else 0
            if size > 65:
                long += [f"{path.name}:{node.lineno}: {size} lines"]
    assert not long, "\n".join(long)
