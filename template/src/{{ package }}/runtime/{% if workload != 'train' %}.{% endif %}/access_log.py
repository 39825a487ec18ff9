"""The access log: one JSON object for each request."""

import json
import sys
from datetime import UTC, datetime
from typing import Any


def write(
    scope: dict[str, Any], status: int, seconds: float, request_id: str, model_version: str
) -> None:
    """Write a line to standard output, like those of the log.

    Python's logging would take longer for it than the rest of a small request.
    """
    client = scope.get("client")
    line = {
        "time": datetime.now(UTC).isoformat(),
        "level": "info",
        "logger": "access",
        "message": f"{scope['method']} {scope['path']} {status}",
        "request_id": request_id,
        "status": status,
        "seconds": round(seconds, 6),
        "client": client[0] if client else None,
        "model_version": model_version,
    }
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()
