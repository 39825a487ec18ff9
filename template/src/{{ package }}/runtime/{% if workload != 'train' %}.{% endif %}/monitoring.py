"""What Prometheus can ask for on the port of /metrics."""

from collections.abc import Callable

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    start_http_server,
)

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Monitoring:
    """Counts what the server does. Probes are not counted."""

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)  # memory, CPU time, open files
        self._requests = Counter(
            "serve_requests", "Answered requests.", ["status"], registry=registry
        )
        self._request_seconds = Histogram(
            "serve_request_seconds",
            "From the headers of a request to the end of its answer.",
            buckets=SECONDS,
            registry=registry,
        )
        self._batch_seconds = Histogram(
            "serve_batch_seconds",
            "Computation of a batch.",
            buckets=SECONDS,
            registry=registry,
        )
        self._batch_requests = Histogram(
            "serve_batch_requests", "Requests of a batch.", buckets=SIZES, registry=registry
        )
        self._batch_rows = Histogram(
            "serve_batch_rows", "Rows of a batch.", buckets=SIZES, registry=registry
        )
        self._queue = Gauge(
            "serve_queue_requests", "Requests that wait for the model.", registry=registry
        )
        self._model = Gauge(
            "serve_model_info",
            "1 for the model that is served.",
            ["name", "version"],
            registry=registry,
        )

    def request(self, status: int, seconds: float) -> None:
        """Count an answer."""
        self._requests.labels(status).inc()
        self._request_seconds.observe(seconds)

    def batch(self, requests: int, rows: int, seconds: float) -> None:
        """Count a batch."""
        self._batch_seconds.observe(seconds)
        self._batch_requests.observe(requests)
        self._batch_rows.observe(rows)

    def model(self, name: str, version: str, waiting: Callable[[], float]) -> None:
        """Say which model is served, and how to ask how many requests wait for it."""
        self._model.labels(name, version).set(1)
        self._queue.set_function(waiting)

    def serve(self, host: str, port: int) -> None:
        """Answer Prometheus from now on, in a thread."""
        start_http_server(port, host, registry=self._registry)
