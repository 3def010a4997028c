"""Measure the run: validation and the preservation probe, when they are due.

What was found goes into the trainee, whose checkpoints keep it, and into an event. A measurement
that a stop cuts short is not made at all, and is made up for when the run goes on from the same
step: the model is the same then, so the number is too.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence

from trainer.config import JobConfig
from trainer.early_stop import Measurement, is_measurement_due, reason_to_stop
from trainer.encoded_run import EncodedRun
from trainer.errors import Problem
from trainer.events import Measured
from trainer.fixed_noise import FixedNoise
from trainer.preservation_probe import PreservationProbe
from trainer.run_record import RunRecord
from trainer.trainee import Trainee
from trainer.training_items import TrainingItem
from trainer.validation import Validation
from trainer.validation_items import probe_pairs


class Measurer:
    """The run's measurements; none if the job asks for none."""

    def __init__(
        self,
        job: JobConfig,
        encoded: EncodedRun,
        validation: Sequence[TrainingItem],
        record: RunRecord,
    ) -> None:
        """validation: the pictures that do not train."""
        panel = job.advanced
        noise = FixedNoise(panel.validation_noise_levels, panel.validation_seed)
        guidance = job.variant.training_guidance
        pairs = probe_pairs(job, encoded.items)
        self._record = record
        self._validation = (
            Validation(
                validation,
                [encoded.content(item) for item in validation],
                encoded,
                noise,
                guidance,
            )
            if validation
            else None
        )
        self._probe = (
            PreservationProbe(
                pairs, [encoded.content(pair.item) for pair in pairs], encoded, noise, guidance
            )
            if pairs
            else None
        )
        self._num_pictures = len(validation) + len(pairs)

    def measure_missing(self, trainee: Trainee) -> None:
        """Before the next step: the base model's at step 0, or what a stop or a kill prevented."""
        if trainee.step not in [m.step for m in trainee.measurements]:
            self.measure_if_due(trainee)

    def measure_if_due(self, trainee: Trainee) -> None:
        """Measure after the present step if the job asks for it."""
        if not is_measurement_due(trainee.job, trainee.step) or self._record.stop:
            return
        with self._record.within("validate", f"{self._num_pictures} pictures"):
            started = time.perf_counter()
            found = self._measure(trainee)
            if found is None:
                return
            trainee.measurements.append(found)
            self._report(found, time.perf_counter() - started)

    def _measure(self, trainee: Trainee) -> Measurement | None:
        """None if a stop was asked for on the way."""
        done = 0

        def tick() -> bool:
            nonlocal done
            done += 1
            self._record.progress(done, self._num_pictures)
            return self._record.poll()

        loss = change = None
        with trainee.ready_to_draw(base_model=False):
            if self._validation is not None:
                loss = self._validation.loss(trainee.transformer, tick=tick)
                if loss is None:
                    return None
            if self._probe is not None:
                change = self._probe.change(trainee.transformer, trainee.lora, tick=tick)
                if change is None:
                    return None
        return Measurement(
            trainee.step,
            validation_loss=_finite(loss),
            drift_without_trigger=_finite(change.without_trigger) if change else None,
            change_with_trigger=_finite(change.with_trigger) if change else None,
        )

    def _report(self, found: Measurement, seconds: float) -> None:
        self._record.report(
            Measured(
                step=found.step,
                validation_loss=found.validation_loss,
                drift_without_trigger=found.drift_without_trigger,
                change_with_trigger=found.change_with_trigger,
                seconds=seconds,
            )
        )
        lacks_loss = self._validation is not None and found.validation_loss is None
        if lacks_loss or (self._probe is not None and found.drift_without_trigger is None):
            self._record.warn(
                Problem(
                    "measurement_not_finite",
                    f"What was measured at step {found.step} is no finite number.",
                    "If the loss is not finite either, lower the Learning Rate.",
                    "training.learning_rate",
                    params={"step": found.step},
                )
            )


def ended_early(trainee: Trainee) -> Problem | None:
    """Why the run is over before its last step; None if it is not."""
    if trainee.step >= trainee.job.training.steps:
        return None
    return reason_to_stop(trainee.job, trainee.measurements)


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
