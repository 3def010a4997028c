"""The whole recipe of a sample, samples that were set aside, what is known of a LoRA

Revision ID: 0007
Revises: 0006
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # The table is copied, and would forget that an address is never given twice.
    kept = {"sqlite_autoincrement": True}
    with op.batch_alter_table("samples", table_kwargs=kept) as samples:
        samples.add_column(sa.Column("lora_strength", sa.Double(), nullable=True))
        samples.add_column(sa.Column("negative_prompt", sa.String(), nullable=True))
        samples.add_column(sa.Column("control_images", sa.JSON(none_as_null=True), nullable=True))
        samples.add_column(sa.Column("superseded_by", sa.Integer(), nullable=True))
        # A picture that was set aside shares its step and prompt with the one drawn after it.
        samples.drop_constraint("uq_samples_job_id_step_prompt_index", type_="unique")
        samples.create_unique_constraint("uq_samples_job_id_path", ["job_id", "path"])
        samples.create_index(
            "ix_samples_job_id_step_prompt_index", ["job_id", "step", "prompt_index"]
        )
    op.add_column("checkpoints", sa.Column("num_layers", sa.Integer(), nullable=True))
    op.add_column("checkpoints", sa.Column("lora_norm", sa.Double(), nullable=True))
