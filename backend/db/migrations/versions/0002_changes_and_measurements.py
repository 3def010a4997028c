"""Changes of settings in mid-run, measurements, the best checkpoint

Revision ID: 0002
Revises: 0001
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("commands", sa.Column("settings", sa.JSON(none_as_null=True), nullable=True))
    op.add_column(
        "checkpoints",
        sa.Column("is_best", sa.Boolean(), nullable=False, server_default=sa.false()),
    )
    op.create_table(
        "measurements",
        sa.Column("job_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("step", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("run_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("validation_loss", sa.Double(), nullable=True),
        sa.Column("drift_without_trigger", sa.Double(), nullable=True),
        sa.Column("change_with_trigger", sa.Double(), nullable=True),
        sa.ForeignKeyConstraint(
            ["job_id"], ["jobs.id"], name="fk_measurements_job_id_jobs", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("job_id", "step", "run_id", name="pk_measurements"),
        sqlite_with_rowid=False,
    )
