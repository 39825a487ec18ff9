# Fills pip's download cache with all that a state of the project needs, and makes no layer.
ARG BASE_IMAGE=scratch
FROM ${BASE_IMAGE}
COPY requirements.txt /tmp/
RUN --mount=type=cache,target=/root/.cache/pip \
    --mount=type=cache,id=bench-scratch,target=/scratch \
    pip download --disable-pip-version-check --no-deps --require-hashes --dest /scratch/wheels \
        --requirement /tmp/requirements.txt \
    && rm -rf /scratch/wheels
