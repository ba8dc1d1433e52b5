# One image for driver, worker, scheduler, MLflow server and dashboard: versions cannot drift apart.
FROM python:3.13.7-slim-bookworm
ENV PYTHONUNBUFFERED=1 PIP_NO_CACHE_DIR=1
WORKDIR /lockstep
COPY pyproject.toml README.md LICENSE ./
COPY core core
COPY search search
RUN pip install -e '.[cluster]'
COPY studies studies
# Named volumes take over the owner of the folder that they are mounted on.
RUN useradd --create-home lockstep && mkdir /artifacts /runs /data \
    && chown lockstep /artifacts /runs
USER lockstep
