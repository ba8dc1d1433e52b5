# One image for the command line, workers, scheduler, MLflow server and dashboard: versions cannot drift apart.
# It builds for amd64 and arm64. To pin the base image to its bytes, append the digest that
# `docker buildx imagetools inspect python:3.13.18-slim-trixie` prints: FROM python:…@sha256:…
FROM python:3.13.18-slim-trixie AS base
ENV PYTHONUNBUFFERED=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore PIP_DISABLE_PIP_VERSION_CHECK=1
# The packages change seldom, and are known by their hashes: an edit of anything else leaves this layer as it is.
RUN --mount=type=bind,source=requirements.lock,target=/requirements.lock \
    pip install --require-hashes --no-deps --only-binary=:all: -r /requirements.lock

FROM base AS wheel
WORKDIR /source
COPY pyproject.toml LICENSE ./
COPY core core
COPY search search
COPY lockstep lockstep
# What people edit, README and study files, is no part of the image: services would be made anew by their next `up`.
RUN touch README.md && pip wheel --no-deps --no-build-isolation --wheel-dir /wheel .

# Nothing is copied with the permissions that it has here: the image is the same under any umask.
FROM base
RUN useradd --uid 1000 --create-home lockstep \
    && install -d -o lockstep -g lockstep /artifacts /lockstep /lockstep/runs && install -d -m 1777 /cache
RUN --mount=type=bind,from=wheel,source=/wheel,target=/wheel pip install --no-deps /wheel/*.whl
WORKDIR /lockstep
USER lockstep
