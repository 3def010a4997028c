"""The server: one application made from its settings. Starts no process and loads no torch."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from backend import __version__
from backend.artifacts.contrast_routes import router as fine_contrast
from backend.artifacts.preview_routes import router as previews
from backend.artifacts.routes import router as artifacts
from backend.artifacts.workflow_routes import router as workflows
from backend.bundles.routes import router as bundles
from backend.datasets.routes import router as datasets
from backend.db.engine import Database
from backend.drawings.kept_loras import remove_half_kept
from backend.drawings.routes import router as drawings
from backend.error_handlers import install_handlers
from backend.failures.routes import router as failures
from backend.hooks.routes import router as hooks
from backend.jobs.answer_age import AnswerAge
from backend.jobs.feed_watch import FeedWatch
from backend.jobs.job_import import router as job_import
from backend.jobs.presets import router as presets
from backend.jobs.queue_routes import router as queue
from backend.jobs.routes import router as jobs
from backend.jobs.stream import router as events
from backend.jobs.yaml_routes import router as job_yaml
from backend.loras.routes import router as loras
from backend.pages import router as pages
from backend.references.routes import router as references
from backend.security.middleware import Guard
from backend.settings import Settings
from backend.system.load import LoadRing
from backend.system.routes import router as system
from backend.trash.routes import router as trash
from backend.trash.settling import settle_all


def create_app(settings: Settings) -> FastAPI:
    """The application. The database must be migrated before it starts (see `db/migrate.py`)."""
    app = FastAPI(
        title="Darkroom",
        version=__version__,
        summary="Train FLUX.2 LoRAs: jobs, their queue, pictures and curves while they train.",
        lifespan=_lifespan,
        # The interactive pages load scripts from another host, which works neither offline nor
        # under our content policy.
        docs_url=None,
        redoc_url=None,
        separate_input_output_schemas=False,
        generate_unique_id_function=lambda route: route.name,
    )
    app.state.settings = settings
    install_handlers(app)
    app.add_middleware(AnswerAge)
    app.add_middleware(Guard, settings=settings)
    for router in (
        previews,
        fine_contrast,
        artifacts,
        workflows,
        bundles,
        datasets,
        drawings,
        failures,
        hooks,
        job_import,
        presets,
        queue,
        jobs,
        job_yaml,
        loras,
        references,
        system,
        trash,
        events,
    ):
        app.include_router(router, prefix="/api")
    app.include_router(pages)
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    database = Database(app.state.settings.database_url)
    await asyncio.to_thread(remove_half_kept, app.state.settings)
    await asyncio.to_thread(settle_all, database, app.state.settings)
    watch = FeedWatch(database, LoadRing(app.state.settings.output_dir))
    app.state.database = database
    app.state.feed_watch = watch
    watching = asyncio.create_task(watch.run())
    try:
        yield
    finally:
        watch.close()
        await watching
        database.close()
