"""Imports point down: a module imports only from rooms on floors below its own, and in a room never in a circle."""

import ast
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "transpose"
FLOOR = {
    "errors": -4,
    "locks": -3,
    "ownership": -2,
    "cluster": -2,
    "parallel": -2,
    "randomness": -2,
    "selection": -2,
    "storage": -1,
    "untrusted": -2,
    "geometry": 0,
    "solvers": 1,
    "models": 1,
    "losses": 1,
    "scenes": 1,
    "mapping": 2,
    "runs": 2,
    "worlds": 2,
    "inspection": 2,
    "localization": 3,
    "village": 3,
    "training": 4,
    "evaluation": 5,
    "onnx": 5,
    "exporting": 6,
    "pages": 6,
    "serving": 6,
    "viewing": 6,
    "app": 7,
}
# The package itself offers `transpose.load` lazily, and `__main__` is the entry point.
EXEMPT = {"__init__", "__main__"}


def room_of(module: str) -> str | None:
    parts = module.split(".")
    return parts[1] if parts[0] == "transpose" and len(parts) > 1 else None


@cache
def imported_modules(path: Path) -> frozenset[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path} uses a relative import"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return frozenset(found)


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


def module_name(path: Path) -> str:
    parts = ("transpose", *path.relative_to(PACKAGE).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def import_graph() -> dict[str, set[str]]:
    """The modules that each module names, wherever it imports them: on top, in a function, or for its types alone."""
    paths = {module_name(path): path for path in PACKAGE.rglob("*.py")}
    graph = {}
    for name, path in paths.items():
        found = imported_modules(path)
        # `from a.b import c` names the module a.b.c where there is one, else a.b.
        named = {module if module in paths else module.rpartition(".")[0] for module in found}
        graph[name] = {module for module in named if module in paths and module != name}
    # The package's own file lazily offers what stands on a higher floor; asking it for the version is no circle.
    graph["transpose"] = set()
    return graph


def circles(graph: dict[str, set[str]]) -> list[list[str]]:
    """Modules that reach each other, one list a circle, sorted (Tarjan's strongly connected components)."""
    order: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found = []

    def visit(module: str) -> None:
        order[module] = low[module] = len(order)
        stack.append(module)
        for other in sorted(graph[module]):
            if other not in order:
                visit(other)
            if other in stack:
                low[module] = min(low[module], low[other])
        if low[module] == order[module]:
            circle = stack[stack.index(module) :]
            del stack[stack.index(module) :]
            if len(circle) > 1:
                found.append(sorted(circle))

    for module in sorted(graph):
        if module not in order:
            visit(module)
    return found


def test_circles_are_found() -> None:
    graph = {"a": {"b"}, "b": {"c", "d"}, "c": {"a"}, "d": {"e"}, "e": {"d"}, "f": {"a", "d"}}
    assert circles(graph) == [["d", "e"], ["a", "b", "c"]]
    assert "transpose.scenes.files" in import_graph()["transpose.pages.scene_pictures"]


def test_no_import_goes_in_a_circle() -> None:
    found = circles(import_graph())
    assert not found, "\n".join(" <-> ".join(circle) for circle in found)


def test_no_command_calls_another() -> None:
    """What commands share is a service."""
    commands = {name: named for name, named in import_graph().items() if name.startswith("transpose.app.commands.")}
    wrong = {name: named & set(commands) for name, named in commands.items() if named & set(commands)}
    assert commands and not wrong


def test_files_and_functions_stay_readable() -> None:
    long = []
    for path in PACKAGE.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        if text.count("\n") > 330:
            long.append(f"{path.name}: {text.count(chr(10))} lines")
        for node in ast.walk(ast.parse(text)):
            size = node.end_lineno - node.lineno + 1 if isinstance(node, ast.FunctionDef) else 0
            if size > 65:
                long += [f"{path.name}:{node.lineno}: {size} lines"]
    assert not long, "\n".join(long)
