"""Which small changes of the code no test notices.

    python benchmarks/mutation.py --out results/mutation [--rooms solvers geometry ...] [--seed 0] [--budget 20]
        [--mutants N] [--again]

From all mutations of a room's modules (`mutating/operators.py`: comparisons, arithmetic, constants, conditions, bounds
of slices, arguments, statements left out) a sample is drawn, every one as likely as every other, so that a module
counts by its size. Of each, the tests that call the changed function run, the quickest first, until one fails, as many
as take `--budget` seconds of processor time when nothing is changed. They run in a forked process, where the module is
compiled from its changed syntax tree when it is imported; no file is written. A mutant that a test notices is killed,
one that takes ten times as long as all its tests is killed as well.

First the tests of the rooms run once, so that it is known which call what (`tests.json`); later, only files of tests
that have changed do. `--again` runs the survivors of the last time again, with the tests that are there by now.
`mutation_equivalent.json` beside this script lists survivors that change nothing that anybody could see, with the
reason; they are not counted. Writes ROOM.json (every mutant) and prints survivors and the table. POSIX only.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import json
import os
import random
import resource
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from types import CodeType
from typing import Any

import pytest
from hypothesis import Phase, settings
from mutating.coverage import ROOT, Recorder, Table, foreign_modules
from mutating.operators import mutations

# Of each room: its modules, the tests that mirror it, and how many mutants are drawn.
ROOMS = {
    "solvers": ("transpose/solvers", ["tests/solvers"], 120),
    "geometry": ("transpose/geometry", ["tests/geometry"], 100),
    "localization": ("transpose/localization", ["tests/localization"], 120),
    "losses": ("transpose/losses", ["tests/losses"], 60),
    "augment": (
        "transpose/scenes/augment.py",
        ["tests/scenes/test_augment.py", "tests/scenes/test_labels_and_augment.py"],
        30,
    ),
    "landmarks": ("transpose/training/landmarks.py", ["tests/training/test_landmarks.py"], 30),
}
EQUIVALENT = Path(__file__).with_name("mutation_equivalent.json")
_HEAVY = ["torch", "cv2", "scipy.optimize", "scipy.spatial", "scipy.ndimage"]
_PYTEST = ["-x", "-q", "-p", "no:cacheprovider", "-p", "_hypothesis_pytestplugin", "--no-header", "--tb=no"]


class Changed(importlib.abc.MetaPathFinder):
    """Imports one module of the package from another syntax tree."""

    def __init__(self, file: str, tree: ast.Module) -> None:
        self.file, self.tree = file, tree
        self.name = ".".join(Path(file).with_suffix("").parts).removesuffix(".__init__")

    def find_spec(self, name: str, _path: object, _target: object = None) -> importlib.machinery.ModuleSpec | None:
        if name != self.name:
            return None
        tree, path = self.tree, str(ROOT / self.file)

        class Loader(importlib.machinery.SourceFileLoader):
            def get_code(self, fullname: str) -> CodeType:
                return compile(tree, path, "exec", dont_inherit=True)

        return importlib.util.spec_from_file_location(name, path, loader=Loader(name, path))


class NoShrinking:
    """Hypothesis need not look for the smallest failure."""

    def __init__(self) -> None:
        self.failed = ""

    def pytest_configure(self) -> None:
        settings.register_profile("mutants", settings(), phases=[Phase.explicit, Phase.generate])
        settings.load_profile("mutants")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed and not self.failed:
            self.failed = report.nodeid


def forked(work: Callable[[], dict[str, Any]], seconds: float) -> dict[str, Any]:
    """What a function returns in a forked process without output; `{"ended": status}` where it ends otherwise.

    `seconds`: of processor time that it may take.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        silent = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(silent, stream)
        resource.setrlimit(resource.RLIMIT_CPU, (round(seconds) + 1, round(seconds) + 2))
        with os.fdopen(writing, "w") as pipe:
            pipe.write(json.dumps(work()))
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        said = pipe.read()
    _, status = os.waitpid(child, 0)
    return json.loads(said) if status == 0 and said else {"ended": status}


def recorded(file: str) -> dict[str, Any]:
    """The tests of one file, as they are: what they call."""
    recorder = Recorder()
    pytest.main(["-q", *_PYTEST[2:], file], plugins=[recorder])
    return {"tests": recorder.tests, "modules": foreign_modules()}


def tested(mutant: dict[str, Any], tests: list[str]) -> dict[str, Any]:
    """Whether some tests notice a mutant: `killed_by`, empty where none does."""
    tree = ast.parse((ROOT / mutant["file"]).read_text(encoding="utf-8"))
    mutations(tree)[mutant["number"]].apply()
    try:
        sys.meta_path.insert(0, Changed(mutant["file"], ast.fix_missing_locations(tree)))
        notes = NoShrinking()
        ended = pytest.main([*_PYTEST, *tests], plugins=[notes])
    except BaseException as error:
        return {"killed_by": repr(error)}
    return {"killed_by": "" if ended == pytest.ExitCode.OK else notes.failed or f"pytest: {ended!r}"}


def sample(room: str, count: int, seed: int) -> list[dict[str, Any]]:
    """Mutants of a room, drawn from all of its modules, in random order: a run that is ended has a sample too."""
    everywhere = []
    place = ROOT / ROOMS[room][0]
    for path in sorted(place.rglob("*.py")) if place.is_dir() else [place]:
        source = path.read_text(encoding="utf-8")
        for number, found in enumerate(mutations(ast.parse(source))):
            before, after = found.texts()
            line = getattr(found.old, "lineno", 0)
            text = source.splitlines()[line - 1].strip()
            everywhere.append({
                "file": str(path.relative_to(ROOT)), "line": line, "in": found.inside, "text": text,
                "before": before, "after": after, "number": number,
            })  # fmt: skip
    return random.Random(f"{seed} {room}").sample(everywhere, min(count, len(everywhere)))


def files_of(place: Path) -> list[Path]:
    """The files of tests in a folder, or the file itself."""
    return sorted(place.rglob("test_*.py")) if place.is_dir() else [place]


def preload(name: str) -> None:
    """Imports a module of others, so that no mutant's process has to; one that cannot be imported alone is left."""
    with contextlib.suppress(Exception), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        importlib.import_module(name)


def callers(table: Table, file: str, function: str | None) -> list[tuple[str, float]]:
    """The tests for a mutant; of a module that only holds values, those of the modules that import it."""
    name = ".".join(Path(file).with_suffix("").parts).removesuffix(".__init__")
    found = table.calling(file, function)
    if found or function is not None:
        return found
    importing = [p for p in sorted((ROOT / "transpose").rglob("*.py")) if f"from {name} import" in p.read_text("utf-8")]
    tests = {test: s for p in importing for test, s in table.calling(str(p.relative_to(ROOT)), None)}
    return sorted(tests.items(), key=lambda one: one[1])


def affordable(tests: list[tuple[str, float]], budget: float) -> tuple[list[str], float]:
    """The quickest tests that take no longer than a budget together (one at least), and their seconds."""
    chosen, total = [], 0.0
    for test, seconds in tests:
        if chosen and total + seconds > budget:
            break
        chosen.append(test)
        total += seconds
    return chosen, total


def run_room(room: str, args: argparse.Namespace, table: Table) -> list[dict[str, Any]]:
    """Every mutant of a room's sample, or those that survived the last time; returns all of them."""
    out = args.out / f"{room}.json"
    if args.again:
        mutants = json.loads(out.read_text(encoding="utf-8"))["mutants"]
        todo = [mutant for mutant in mutants if mutant["killed_by"] == "" and reason_of(mutant) is None]
        relocate(todo)
    else:
        mutants = todo = sample(room, args.mutants or ROOMS[room][2], args.seed)
    for mutant in todo:
        if mutant.get("gone"):
            continue
        tests, seconds = affordable(callers(table, mutant["file"], mutant["in"]), args.budget)
        result = forked(lambda m=mutant, t=tests: tested(m, t), 10 + 10 * seconds) if tests else {"killed_by": ""}
        mutant["tests"] = len(tests)
        mutant.setdefault("first", result.get("killed_by", "ended"))
        mutant["killed_by"] = result.get("killed_by", f"ended: {result.get('ended')}")
        if not mutant["killed_by"]:
            print(f"{mutant['file']}:{mutant['line']} {mutant['before']}  ->  {mutant['after']} ({len(tests)} tests)")
            sys.stdout.flush()
        known = [each for each in mutants if "killed_by" in each]
        out.write_text(json.dumps({"seed": args.seed, "budget": args.budget, "mutants": known}, indent=1))
    return mutants


def relocate(mutants: list[dict[str, Any]]) -> None:
    """Finds mutants again in modules that have changed since; `gone` are those whose code is no longer there."""
    for mutant in mutants:
        found = mutations(ast.parse((ROOT / mutant["file"]).read_text(encoding="utf-8")))
        same = [
            i
            for i, m in enumerate(found)
            if (*m.texts(), m.inside) == (mutant["before"], mutant["after"], mutant["in"])
        ]
        mutant["gone"] = not same
        mutant["number"] = min(same, key=lambda i: abs(i - mutant["number"]), default=-1)


def reason_of(mutant: dict[str, Any]) -> str | None:
    """Why a mutant is the same program to all who use it; None where it is not known to be."""
    keys = ("file", "in", "text", "before", "after")
    known = json.loads(EQUIVALENT.read_text(encoding="utf-8"))
    return next((one["why"] for one in known if all(one[key] == mutant[key] for key in keys)), None)


def row(room: str, mutants: list[dict[str, Any]]) -> str:
    """A line of the table: mutants drawn, those that are the same program, and the share killed of the others."""
    counted = [each for each in mutants if each["killed_by"] or reason_of(each) is None]
    first, now = (sum(bool(each[when]) for each in counted) / max(1, len(counted)) for when in ("first", "killed_by"))
    return f"| {room} | {len(mutants)} | {len(mutants) - len(counted)} | {first:.0%} | {now:.0%} |"


def main() -> None:
    """Records what tests call, then runs the mutants of the rooms one after the other."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--rooms", nargs="+", default=list(ROOMS), choices=list(ROOMS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--mutants", type=int, help="of each room")
    parser.add_argument("--budget", type=float, default=20.0)
    parser.add_argument("--again", action="store_true")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    os.chdir(ROOT)
    sys.path.insert(0, str(ROOT))
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    table = Table(args.out / "tests.json")
    for name in _HEAVY:
        preload(name)
    for room in args.rooms:
        for file in table.stale(sorted(str(p.relative_to(ROOT)) for t in ROOMS[room][1] for p in files_of(ROOT / t))):
            table.record(file, **forked(lambda f=file: recorded(f), 1800))
            print(f"{file}: {len(table.files[file]['tests'])} tests", file=sys.stderr, flush=True)
    for name in table.modules():
        preload(name)
    results = {room: run_room(room, args, table) for room in args.rooms}
    print("| room | mutants | the same program | killed at first | killed |\n|---|---|---|---|---|")
    print("\n".join(row(room, mutants) for room, mutants in results.items()))


if __name__ == "__main__":
    main()
