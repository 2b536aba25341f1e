"""The service against what it says of itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from transpose.serving.api import make_app

schemathesis = pytest.importorskip("schemathesis", reason="pip install schemathesis, to try all that the schema allows")


def test_every_answer_is_as_the_schema_says(place: Callable[..., Any]) -> None:
    schema = schemathesis.openapi.from_asgi("/openapi.json", make_app([place()]))
    tried: dict[str, int] = {}

    def check(case: Any) -> None:
        tried[case.path] = tried.get(case.path, 0) + 1
        response = case.call()
        assert response.status_code < 500
        case.operation.validate_response(response)

    for found in schema.get_all_operations():
        anything = given(found.ok().as_strategy())
        few = settings(max_examples=15, deadline=None, database=None, suppress_health_check=list(HealthCheck))
        few(anything(check))()
    assert {"/localize", "/localize/batch", "/runs", "/healthz", "/metrics"} <= set(tried)
