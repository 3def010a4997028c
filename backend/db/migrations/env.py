"""Alembic's entry: runs the revisions on the connection that `migrate.py` opened."""

from alembic import context

from backend.db.models import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    # SQLite alters little in place: a batch copies the table.
    render_as_batch=True,
    # Our connections begin transactions themselves, so that a failing revision leaves no trace.
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
