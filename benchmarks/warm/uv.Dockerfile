# Fills uv's download cache with all that a state of the project needs, and makes no layer.
ARG UV_PYTHON_IMAGE=scratch
FROM ${UV_PYTHON_IMAGE}
WORKDIR /project
COPY pyproject.toml uv.lock .python-version ./
RUN --mount=type=cache,id=/var/cache/uv,target=/var/cache/uv \
    --mount=type=cache,id=bench-scratch,target=/scratch \
    UV_CACHE_DIR=/var/cache/uv UV_LINK_MODE=copy UV_PROJECT_ENVIRONMENT=/scratch/venv \
    uv sync --no-dev --frozen \
    && rm -rf /scratch/venv
