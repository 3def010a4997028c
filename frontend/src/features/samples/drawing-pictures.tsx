import { SegmentedControl } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { type ReactNode, useId, useMemo, useState } from "react";
import { previewQuery } from "@/api/queries";
import type { Sample, WholeDrawing } from "@/api/types";
import { text } from "@/messages";
import { type Across, galleryOfDrawing, lorasOf, mostlyAcross } from "./drawing-model";
import { GalleryView } from "./gallery";
import classes from "./gallery.module.css";
import { placeOfPreview } from "./gallery-round";
import { useSampleMarks } from "./use-sample-marks";

interface DrawingPicturesProps {
  drawing: WholeDrawing;
  actions?: ((sample: Sample, close: () => void) => ReactNode) | undefined;
}

/** What a drawing has drawn so far and what is still to come, to look at as a training's samples. */
export function DrawingPictures({ drawing, actions }: DrawingPicturesProps) {
  const preview = useQuery({
    ...previewQuery(drawing.id),
    select: placeOfPreview,
  }).data;
  const acrossId = useId();
  const [chosen, setChosen] = useState<Across | null>(null);
  const across = chosen ?? mostlyAcross(drawing);
  const whole = useMemo(
    () => galleryOfDrawing(drawing, preview, across),
    [drawing, preview, across],
  );
  const sources = useMemo(
    () => [
      {
        id: drawing.id,
        name: drawing.training_name,
        samples: drawing.pictures.flatMap(({ sample }) => sample ?? []),
      },
    ],
    [drawing],
  );
  const mark = useSampleMarks();
  const hasTwoAxes = lorasOf(drawing).length > 1;
  return (
    <div className={classes.gallery}>
      {hasTwoAxes && (
        <div className={classes.across}>
          <span id={acrossId}>{text.samples.across}</span>
          <SegmentedControl
            size="xs"
            aria-labelledby={acrossId}
            data={(["strengths", "loras"] as const).map((value) => ({
              value,
              label: text.samples.acrossBy[value],
            }))}
            value={across}
            onChange={(value) => setChosen(value as Across)}
          />
        </div>
      )}
      <GalleryView
        whole={whole}
        sources={sources}
        onMark={(sample, marks) => mark(drawing.id, sample, marks)}
        actions={actions}
      />
    </div>
  );
}
