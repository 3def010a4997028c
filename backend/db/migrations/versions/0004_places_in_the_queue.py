"""When a waiting job may start, and where it begins

Revision ID: 0004
Revises: 0003
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "jobs", sa.Column("priority", sa.Integer(), nullable=False, server_default=sa.text("'0'"))
    )
    op.add_column("jobs", sa.Column("not_before", sa.DateTime(), nullable=True))
    op.add_column("jobs", sa.Column("run_after_job_id", sa.Integer(), nullable=True))
    op.add_column("jobs", sa.Column("resume_from_step", sa.Integer(), nullable=True))
    op.create_table(
        "queue_pauses",
        sa.Column("device", sa.String(length=64), nullable=False),
        sa.Column("paused_at", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("device", name="pk_queue_pauses"),
    )
