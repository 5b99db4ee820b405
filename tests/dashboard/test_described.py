"""What is written down about the routes for programs, and for Grafana, is complete and fits together."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Final

from starlette.routing import Route

from tests.dashboard.busy import BusyCluster
from trio_dask.dashboard.api import Api
from trio_dask.dashboard.feed import Feed
from trio_dask.dashboard.looking import Looking
from trio_dask.dashboard.openapi import openapi
from trio_dask.dashboard.orders import Orders

DOCS: Final = Path(__file__).parents[2] / "docs"
DOCUMENT: Final = openapi("1")
BOARD: Final = json.loads((DOCS / "how-to" / "grafana.json").read_text(encoding="utf-8"))
#: It does not describe itself.
_ITSELF: Final = "/api/v1/openapi.json"


def routes() -> dict[str, set[str]]:
    """What there is for programs: methods by path, as the document writes them."""
    view = BusyCluster(1).view
    found: dict[str, set[str]] = {}
    for route in (*Api(view, Feed(view)).routes(), *Looking(view).routes(), *Orders(view).routes()):
        assert isinstance(route, Route)
        if route.path.startswith("/api/v1/") and route.path != _ITSELF:
            path = route.path.replace(":path}", "}")
            found.setdefault(path, set()).update(
                m.lower() for m in route.methods or () if m != "HEAD"
            )
    return found


def inner(thing: Any) -> list[Any]:
    """All objects in a document."""
    inside = (
        list(thing.values())
        if isinstance(thing, dict)
        else thing
        if isinstance(thing, list)
        else []
    )
    return [thing, *(each for part in inside for each in inner(part))]


def test_every_route_is_in_the_document_and_no_other() -> None:
    """With its methods; what is in braces is a parameter, and whatever is named exists."""
    assert {path: set(methods) for path, methods in DOCUMENT["paths"].items()} == routes()
    for path, methods in DOCUMENT["paths"].items():
        for each in methods.values():
            assert each["summary"]
            names = {one["name"] for one in each["parameters"] if one["in"] == "path"}
            assert names == set(re.findall(r"\{(\w+)\}", path)), path
            assert "200" in each["responses"]
    schemas = DOCUMENT["components"]["schemas"]
    used = {
        each["$ref"].rpartition("/")[2]
        for each in inner(DOCUMENT)
        if isinstance(each, dict) and "$ref" in each
    }
    assert used == set(schemas)
    wanted = {
        name
        for each in inner(DOCUMENT)
        if isinstance(each, dict)
        for name in each.get("security", [])
        if isinstance(name, str)
    }
    assert wanted <= set(DOCUMENT["components"]["securitySchemes"])
    assert json.loads(json.dumps(DOCUMENT)) == DOCUMENT


def test_every_route_is_in_the_reference() -> None:
    """Where people look for it."""
    text = (DOCS / "reference" / "web.md").read_text(encoding="utf-8").upper()
    for path in routes():
        assert path.upper().replace("{", "").replace("}", "") in text, path


def test_the_board_for_grafana_fits_together() -> None:
    """Panels have numbers of their own, lie beside each other, and ask the data source that is chosen."""
    assert {"title", "uid", "schemaVersion", "panels", "templating", "time"} <= BOARD.keys()
    variables = {each["name"] for each in BOARD["templating"]["list"]}
    numbers = [panel["id"] for panel in BOARD["panels"]]
    assert len(set(numbers)) == len(numbers)
    taken: set[tuple[int, int]] = set()
    for panel in BOARD["panels"]:
        spot = panel["gridPos"]
        cells = {(spot["x"] + x, spot["y"] + y) for x in range(spot["w"]) for y in range(spot["h"])}
        assert not cells & taken, panel["title"]
        assert max(x for x, _ in cells) < 24
        taken |= cells
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        letters = [target["refId"] for target in panel["targets"]]
        assert len(set(letters)) == len(letters) > 0
        for target in panel["targets"]:
            expression = target["expr"]
            assert expression.count("(") == expression.count(")")
            assert expression.count("{") == expression.count("}")
            assert set(re.findall(r"\$(\w+)", expression)) - {"__rate_interval"} <= variables
            assert 'job=~"$job"' in expression, "of the chosen clusters only"
