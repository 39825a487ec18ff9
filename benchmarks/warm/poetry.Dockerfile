# Fills Poetry's download cache with all that a state of the project needs, and makes no layer.
ARG BASE_IMAGE=scratch
FROM ${BASE_IMAGE}
ARG POETRY_VERSION
RUN --mount=type=cache,target=/root/.cache/pip \
    pip install --disable-pip-version-check --root-user-action=ignore "poetry==${POETRY_VERSION}"
WORKDIR /project
COPY pyproject.toml poetry.lock ./
RUN --mount=type=cache,target=/tmp/poetry_cache \
    --mount=type=cache,id=bench-scratch,target=/scratch \
    POETRY_CACHE_DIR=/tmp/poetry_cache POETRY_VIRTUALENVS_PATH=/scratch/venvs \
    poetry install --only main --no-root \
    && rm -rf /scratch/venvs
