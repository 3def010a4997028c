"""Requests to delete a job that runs, and what an estimate of its time needs

Revision ID: 0006
Revises: 0005
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("jobs", sa.Column("delete_request", sa.String(length=16), nullable=True))
    op.add_column("jobs", sa.Column("mean_step_seconds", sa.Double(), nullable=True))
    op.add_column("jobs", sa.Column("measuring_seconds", sa.Double(), nullable=True))
    op.create_index("ix_jobs_delete_request", "jobs", ["delete_request"])
