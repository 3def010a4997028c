"""What preservation cost at a checkpoint, beside its loss

Revision ID: 0009
Revises: 0008
"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("checkpoints", sa.Column("preservation_loss", sa.Double(), nullable=True))
    # Of the 20 steps up to it, as the loss beside it.
    op.execute(
        "UPDATE checkpoints SET preservation_loss = ("
        " SELECT avg(preservation_loss) FROM metrics"
        " WHERE metrics.job_id = checkpoints.job_id AND metrics.run_id = checkpoints.run_id"
        " AND metrics.step BETWEEN checkpoints.step - 19 AND checkpoints.step)"
    )
