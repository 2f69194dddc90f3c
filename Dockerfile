# One image for every role: `triton api`, `triton worker`, `triton projector`, `triton archiver`, `triton migrate`.
# Debian-based: the binary wheels need glibc.
FROM python:3.12-slim-bookworm AS build
WORKDIR /src
RUN python -m venv /opt/triton
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY src ./src
COPY schema ./schema
RUN /opt/triton/bin/pip install --no-cache-dir -c constraints.txt '.[documents]'

FROM python:3.12-slim-bookworm
RUN useradd --system --uid 10001 --home-dir /var/lib/triton --create-home triton \
    && install -d -o triton /var/lib/triton/archive /var/lib/triton/keys /var/lib/triton/access \
       /var/lib/triton/secrets
COPY --from=build /opt/triton /opt/triton
ENV PATH=/opt/triton/bin:$PATH PYTHONUNBUFFERED=1
USER triton
WORKDIR /var/lib/triton
EXPOSE 8000
ENTRYPOINT ["triton"]
CMD ["api", "--host", "0.0.0.0"]
