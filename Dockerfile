# One image for every role: `triton api`, `triton worker`, `triton projector`, `triton archiver`, `triton relay`,
# `triton migrate`. Debian-based, because the binary wheels need glibc. The embedded engines are not in it.
FROM python:3.12-slim-bookworm AS build
# Extras of pyproject.toml: `backup` is PostgreSQL's own pg_dump, `otel` is for traces. What your actors need besides goes
# here, such as parquet.
ARG EXTRAS=documents,backup,otel
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_CACHE_DIR=/var/cache/pip
WORKDIR /source
RUN python -m venv /opt/triton
COPY pyproject.toml constraints.txt README.md LICENSE ./
# The dependencies first: they stay in the cache while only the source changes.
RUN --mount=type=cache,target=/var/cache/pip \
    /opt/triton/bin/python -c 'import sys, tomllib; p = tomllib.load(open("pyproject.toml", "rb"))["project"]; print("\n".join(p["dependencies"] + [d for e in sys.argv[1].split(",") if e for d in p["optional-dependencies"][e]]))' "${EXTRAS}" > /tmp/requirements.txt \
    && /opt/triton/bin/pip install --constraint constraints.txt --requirement /tmp/requirements.txt
COPY src ./src
COPY schema ./schema
COPY clients ./clients
RUN --mount=type=cache,target=/var/cache/pip \
    /opt/triton/bin/pip install --constraint constraints.txt --no-deps . \
    && /opt/triton/bin/pip uninstall --yes pip \
    && /opt/triton/bin/triton --help > /dev/null

FROM python:3.12-slim-bookworm
# tini passes signals on and collects what a dead worker left behind.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends tini \
    && rm -rf /var/lib/apt/lists/*
# Folders for volumes: a volume that is new takes owner and mode from here.
RUN useradd --system --uid 10001 --user-group --home-dir /var/lib/triton --no-create-home --shell /usr/sbin/nologin triton \
    && install -d -o triton -g triton -m 0700 /var/lib/triton /var/lib/triton/access /var/lib/triton/archive \
       /var/lib/triton/keys /var/lib/triton/secrets /var/lib/triton/subject-keys
COPY --from=build /opt/triton /opt/triton
ENV PATH=/opt/triton/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    # In memory, and of each container alone.
    TRITON_HEALTH=/dev/shm/triton
LABEL org.opencontainers.image.title="Triton" \
      org.opencontainers.image.description="Event-sourced job platform on Redis Streams" \
      org.opencontainers.image.licenses="Apache-2.0"
USER 10001:10001
WORKDIR /var/lib/triton
EXPOSE 8000
# Of every role. `triton migrate` and other commands that end leave no sign of life.
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s \
    CMD ["python", "-m", "triton.health"]
ENTRYPOINT ["tini", "--", "triton"]
CMD ["api", "--host", "0.0.0.0"]
