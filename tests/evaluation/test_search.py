"""Several runs compared: the best first, whatever is wrong with some of them."""

from pathlib import Path

from transpose import runs
from transpose.evaluation.metrics import RECALL_BOUNDS
from transpose.evaluation.search import EvaluatedRun, best_of, evaluate_below, write_table
from transpose.pages.search_table import table_text


def table(median_m: float, median_deg: float = 1.0) -> dict[str, object]:
    facts = {"frames": 10, "failed": 0, "median_m": median_m, "median_deg": median_deg, "seconds_per_frame": 0.1}
    return facts | {"model_bytes": 5, "train_seconds": None, "recall": dict.fromkeys(RECALL_BOUNDS, 0.5)}


def test_the_best_comes_first_and_a_run_that_fails_stops_nothing(tmp_path: Path) -> None:
    tables = {"a": table(0.2), "b": table(0.1, 2.0), "c": table(0.1, 1.0), "d": table(float("inf"))}
    for name in (*tables, "e"):
        runs.write_config(tmp_path / name, {})

    def evaluated(run: Path) -> dict[str, object]:
        return tables[run.name]  # KeyError for e

    candidates = evaluate_below(tmp_path, evaluated)
    assert [each.run.name for each in candidates] == ["c", "b", "a", "d", "e"]
    assert best_of(candidates) is candidates[0] and best_of(candidates[3:]) is None and best_of([]) is None
    lines = write_table(candidates, tmp_path, tmp_path / "t.tsv").read_text().splitlines()
    assert [line.split("\t")[:2] for line in lines[1:]] == [["*", "c"], ["", "b"], ["", "a"], ["", "d"], ["", "e"]]
    assert len({line.count("\t") for line in lines}) == 1
    text = table_text(candidates, tmp_path).splitlines()
    assert text[1].startswith("*  c ") and "5 of 10" in text[1] and text[-1].startswith("broken: e: ")
    assert table_text([EvaluatedRun(tmp_path, None, "why")], tmp_path) == f"broken: {tmp_path.name}: why"
