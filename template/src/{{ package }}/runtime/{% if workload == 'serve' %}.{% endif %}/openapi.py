"""The description of the interface, for people and for programs that make clients."""

import json
from typing import Any

from pydantic.json_schema import models_json_schema

from .. import serve

DETAIL = {
    "type": "object",
    "required": ["detail"],
    "properties": {"detail": {"type": "string"}},
}
PROBLEMS = {
    "type": "object",
    "required": ["detail"],
    "properties": {
        "detail": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["where", "problem"],
                "properties": {"where": {"type": "string"}, "problem": {"type": "string"}},
            },
        }
    },
}
REQUEST_ID = {
    "name": "X-Request-ID",
    "in": "header",
    "description": "Stands in the answer and in the log; a new one is made if there is none.",
    "schema": {"type": "string", "maxLength": 128},
}
NAMING = {
    "X-Request-ID": {"schema": {"type": "string"}},
    "X-Model-Name": {"schema": {"type": "string"}},
    "X-Model-Version": {"schema": {"type": "string"}},
}
RETRY = {"Retry-After": {"description": "in seconds", "schema": {"type": "integer"}}}


def describe(title: str, predict: str, probes: list[str]) -> bytes:
    """Return the OpenAPI document.

    Args:
        title: of the interface.
        predict: the path that predicts.
        probes: the paths that say how the server is.
    """
    _, schemas = models_json_schema(
        [(serve.PredictRequest, "validation"), (serve.PredictResponse, "serialization")],
        ref_template="#/components/schemas/{model}",
    )
    refused = {
        400: "The body is not JSON.",
        408: "The body took too long to arrive.",
        413: "The body is too large.",
        415: "The body has another content type.",
        500: "The server failed.",
    }
    responses = {str(status): _answer(text, DETAIL) for status, text in refused.items()}
    responses["200"] = _answer(
        "What the model says.", {"$ref": "#/components/schemas/PredictResponse"}, NAMING
    )
    responses["422"] = _answer("The first problems with what the body holds.", PROBLEMS)
    responses["503"] = _answer(
        "The model is being loaded, or has more to do than it can.", DETAIL, RETRY
    )
    body = {
        "required": True,
        "content": {
            "application/json": {
                "schema": {"$ref": "#/components/schemas/PredictRequest"},
                "example": serve.EXAMPLE.model_dump(mode="json"),
            }
        },
    }
    paths: dict[str, Any] = {
        predict: {
            "post": {
                "operationId": "predict",
                "parameters": [REQUEST_ID],
                "requestBody": body,
                "responses": dict(sorted(responses.items())),
            }
        }
    }
    status = {"type": "object", "properties": {"status": {"type": "string"}}}
    for path in probes:
        paths[path] = {
            "get": {
                "operationId": path.strip("/"),
                "responses": {"200": _answer("Yes.", status), "503": _answer("No.", DETAIL)},
            }
        }
    document = {
        "openapi": "3.1.0",
        "info": {"title": title, "version": "1"},
        "paths": paths,
        "components": {"schemas": schemas["$defs"]},
    }
    return json.dumps(document).encode()


def _answer(
    description: str, schema: dict[str, Any], headers: dict[str, Any] | None = None
) -> dict[str, Any]:
    return {
        "description": description,
        "headers": headers or {},
        "content": {"application/json": {"schema": schema}},
    }
