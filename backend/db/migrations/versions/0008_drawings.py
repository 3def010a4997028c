"""Drawings beside trainings

Revision ID: 0008
Revises: 0007
"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Whatever there was before is a training.
    kind = sa.Column("kind", sa.String(16), nullable=False, server_default="training")
    op.add_column("jobs", kind)
    # The list of what ended sorts by times that lie behind each row's config, which is long.
    columns = ["status", "kind", "finished_at", "updated_at"]
    op.create_index("ix_jobs_status_kind_end", "jobs", columns)
