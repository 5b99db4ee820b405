"""What is submitted and what comes of it are spans of one trace, if that is wanted; else there is nothing."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("opentelemetry.sdk", reason="spans are read with it")

from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from trio_dask import AsyncClient, Client, LocalCluster, WorkerPlugin, get_client
from trio_dask.config import load_config

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TRACING = load_config(overrides={"client.tracing": True})
#: Where spans go, in this process: the provider of a process is set once.
EXPORTER = InMemorySpanExporter()


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    """Two workers in this process, whose spans are kept."""
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(EXPORTER))
    trace.set_tracer_provider(provider)
    with LocalCluster(n_workers=2, threads_per_worker=1, processes=False) as made:
        yield made


@pytest.fixture
def spans(cluster: LocalCluster) -> InMemorySpanExporter:
    """Those that end in this test."""
    EXPORTER.clear()
    return EXPORTER


def named(spans: InMemorySpanExporter, name: str) -> list[Any]:
    """The spans of this name, in the order in which they ended."""
    return [span for span in spans.get_finished_spans() if span.name == name]


def inc(number: int) -> int:
    """One more, with a span of its own."""
    from opentelemetry import trace

    with trace.get_tracer("theirs").start_as_current_span("inside"):
        return number + 1


async def inc_later(number: int) -> int:
    """The same, awaited."""
    import trio
    from opentelemetry import trace

    await trio.lowlevel.checkpoint()
    with trace.get_tracer("theirs").start_as_current_span("inside"):
        return number + 1


def submits(number: int) -> int:
    """A task that starts another."""
    client: Any = get_client()
    result: int = client.submit(inc, number).result()
    return result


def fails() -> None:
    """Does not work."""
    raise ValueError("not today")


@pytest.mark.parametrize("function", [inc, inc_later])
def test_a_task(cluster: LocalCluster, spans: InMemorySpanExporter, function: Any) -> None:
    """Its span is a child of that of `submit`, which is one of whatever was going on."""
    with Client(cluster, config=TRACING) as client:
        with trace.get_tracer("mine").start_as_current_span("mine"):
            future = client.submit(function, 1)
        assert future.result() == 2
        name = function.__name__
        [mine], [submit] = named(spans, "mine"), named(spans, f"submit {name}")
        [task], [inside] = named(spans, name), named(spans, "inside")
        assert submit.parent.span_id == mine.context.span_id
        assert task.parent.span_id == submit.context.span_id
        assert inside.parent.span_id == task.context.span_id
        assert {each.context.trace_id for each in (mine, submit, task, inside)} == {
            mine.context.trace_id
        }
        assert dict(submit.attributes) == {
            "trio_dask.function": name, "trio_dask.key": future.key,
        }  # fmt: skip
        assert task.attributes["trio_dask.key"] == future.key
        assert task.attributes["trio_dask.outcome"] == "ok"
        assert task.attributes["trio_dask.attempt"] > 0
        assert task.attributes["trio_dask.worker"] in cluster.workers
        assert task.attributes["trio_dask.host"]


def test_many_tasks(cluster: LocalCluster, spans: InMemorySpanExporter) -> None:
    """One span for `map`, and children of it; what runs later in the same threads is none."""
    with Client(cluster, config=TRACING) as client, Client(cluster) as other:
        assert client.gather(client.map(inc, range(20), timeout=60)) == list(range(1, 21))
        [submit], tasks = named(spans, "submit inc"), named(spans, "inc")
        assert submit.attributes["trio_dask.tasks"] == 20
        assert len(tasks) == 20
        assert {each.parent.span_id for each in tasks} == {submit.context.span_id}
        assert other.submit(inc, 1).result() == 2
        assert len(named(spans, "inc")) == 20
        assert named(spans, "inside")[-1].parent is None


def test_a_graph(cluster: LocalCluster, spans: InMemorySpanExporter) -> None:
    """Of Dask's: one span for all of it, and one for each task."""
    dask = pytest.importorskip("dask", reason="the graph is made with it")
    with Client(cluster, config=TRACING) as client:
        three = dask.delayed(inc)(dask.delayed(inc)(1))
        with trace.get_tracer("mine").start_as_current_span("mine"):
            assert client.compute(three).result() == 3
        [mine], [graph] = named(spans, "mine"), named(spans, "submit graph")
        assert graph.parent.span_id == mine.context.span_id
        ended: list[Any] = [*spans.get_finished_spans()]
        tasks = [span for span in ended if "trio_dask.attempt" in span.attributes]
        assert graph.attributes["trio_dask.tasks"] >= len(tasks) > 0
        assert {span.parent.span_id for span in tasks} == {graph.context.span_id}
        assert {span.context.trace_id for span in tasks} == {mine.context.trace_id}


def test_errors(cluster: LocalCluster, spans: InMemorySpanExporter) -> None:
    """Each attempt is a span, with its error."""
    with Client(cluster, config=TRACING) as client:
        assert isinstance(client.submit(fails, retries=1).exception(), ValueError)
        first, second = named(spans, "fails")
        assert first.attributes["trio_dask.attempt"] < second.attributes["trio_dask.attempt"]
        for each in (first, second):
            assert each.attributes["trio_dask.outcome"] == "error"
            assert each.status.description == "ValueError: not today"
            [event] = each.events
            assert event.attributes["exception.message"] == "not today"


def test_a_task_that_is_out_of_time(cluster: LocalCluster, spans: InMemorySpanExporter) -> None:
    """Says so."""

    async def waits() -> None:
        import trio

        await trio.sleep_forever()

    with Client(cluster, config=TRACING) as client:
        assert client.submit(waits, timeout=0.01).exception() is not None
        [task] = named(spans, "waits")
        assert task.attributes["trio_dask.outcome"] in ("timeout", "cancelled")


def test_tasks_inside_tasks(cluster: LocalCluster, spans: InMemorySpanExporter) -> None:
    """Are part of the same trace, without anything to be switched on there."""
    with Client(cluster, config=TRACING) as client:
        assert client.submit(submits, 1).result() == 2
        [outer], [inner_submit], [inner] = (
            named(spans, "submits"), named(spans, "submit inc"), named(spans, "inc"),
        )  # fmt: skip
        assert inner_submit.parent.span_id == outer.context.span_id
        assert inner.parent.span_id == inner_submit.context.span_id


@pytest.mark.anyio
async def test_the_same_for_who_awaits(cluster: LocalCluster, spans: InMemorySpanExporter) -> None:
    """On both loops."""
    async with AsyncClient(cluster.scheduler_address, config=TRACING) as client:
        assert await client.submit(inc, 1) == 2
    [submit], [task] = named(spans, "submit inc"), named(spans, "inc")
    assert task.parent.span_id == submit.context.span_id


class SpansTo(WorkerPlugin):
    """A provider for a process of tasks, as a user writes it; spans are lines of a file."""

    def __init__(self, path: str) -> None:
        self.path = path

    def setup(self, worker: Any) -> None:
        """Spans of this process go there."""
        from opentelemetry import trace
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor

        def line(span: Any) -> str:
            own, parent = span.context, span.parent
            ids = f"{own.trace_id:x} {own.span_id:x} {parent.span_id:x}"
            return f"{span.name} {ids} {os.getpid()}\n"

        out = open(self.path, "a", encoding="utf-8")  # noqa: PTH123, SIM115 - until the process ends
        provider = TracerProvider()
        provider.add_span_processor(
            SimpleSpanProcessor(ConsoleSpanExporter(out=out, formatter=line))
        )
        trace.set_tracer_provider(provider)


@pytest.mark.processes
def test_over_processes(cluster: LocalCluster, spans: InMemorySpanExporter, tmp_path: Path) -> None:
    """What goes on here leads to the task there, and that to what it does: one trace."""
    path = tmp_path / "spans"
    with (
        LocalCluster(1, 1, dashboard_address=None) as real,
        Client(real, config=TRACING) as client,
    ):
        client.register_plugin(SpansTo(str(path)))
        with trace.get_tracer("mine").start_as_current_span("request") as request:
            assert client.submit(inc, 1).result() == 2
        [submitted] = named(spans, "submit inc")
        lines: list[list[str]] = []
        while len(lines) < 2:
            lines = [line.split() for line in path.read_text(encoding="utf-8").splitlines()]
        (inside, trace_1, _, above, pid), (ran, trace_2, own, parent, _) = lines
        assert (inside, ran) == ("inside", "inc")
        assert {trace_1, trace_2} == {f"{request.get_span_context().trace_id:x}"}
        assert (above, parent) == (own, f"{submitted.context.span_id:x}")
        assert int(pid) != os.getpid()


def test_nothing_is_traced_unless_somebody_wants_it(
    cluster: LocalCluster, spans: InMemorySpanExporter
) -> None:
    """No span is made, and none is spoken of."""
    with Client(cluster) as client:
        assert client.tracing is None
        with trace.get_tracer("mine").start_as_current_span("mine"):
            assert client.submit(len, "abc").result() == 3
    assert [span.name for span in spans.get_finished_spans()] == ["mine"]
