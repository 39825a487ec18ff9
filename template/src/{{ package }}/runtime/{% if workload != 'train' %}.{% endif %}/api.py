"""The description of the interface, and the routes of your own."""

from typing import Annotated, Any

from fastapi import Body, FastAPI, Header, Response
from pydantic import BaseModel

from .. import serve


class Detail(BaseModel):
    """Why a request was refused."""

    detail: str


class Problem(BaseModel):
    """A place in a request, and what is wrong there."""

    where: str
    problem: str


class Problems(BaseModel):
    """The first problems of a request."""

    detail: list[Problem]


class Status(BaseModel):
    """How the server is."""

    status: str


NAMING = {
    "X-Request-ID": {"schema": {"type": "string"}},
    "X-Model-Name": {"schema": {"type": "string"}},
    "X-Model-Version": {"schema": {"type": "string"}},
}
RETRY = {"Retry-After": {"description": "in seconds", "schema": {"type": "integer"}}}
ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {"headers": NAMING},
    400: {"model": Detail, "description": "The body is not JSON."},
    408: {"model": Detail, "description": "The body took too long to arrive."},
    413: {"model": Detail, "description": "The body is too large."},
    415: {"model": Detail, "description": "The body has another content type."},
    422: {"model": Problems, "description": "What the body holds is wrong."},
    500: {"model": Detail, "description": "The server failed."},
    503: {"model": Detail, "description": "The model is busy, or not loaded.", "headers": RETRY},
}


def create_api(
    title: str, predict_route: str, probe_routes: list[str], interface: serve.Interface
) -> FastAPI:
    """Return the application that knows every route.

    The given routes stand in it for the description alone: `App` answers them itself.

    Args:
        title: of the description.
        predict_route: the path that predicts.
        probe_routes: the paths that say how the server is.
        interface: what the model is asked, and what it answers.
    """
    # Its pages /docs and /redoc load scripts from elsewhere.
    api = FastAPI(title=title, docs_url=None, redoc_url=None)
    api.include_router(serve.router)

    example = interface.example.model_dump(mode="json")

    @api.post(predict_route, responses=ANSWERS, response_model=interface.response_type)
    def predict(
        request: Annotated[interface.request_type, Body(examples=[example])],
        x_request_id: Annotated[str | None, Header(max_length=128)] = None,
    ) -> Response:
        """Predict each instance."""
        raise NotImplementedError

    for path in probe_routes:

        @api.get(path, operation_id=path.strip("/"), responses={503: {"model": Detail}})
        def probe() -> Status:
            """Say how the server is."""
            raise NotImplementedError

    return api
