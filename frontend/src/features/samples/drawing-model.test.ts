import { drawnPicture, sample, wholeDrawing } from "@tests/examples";
import { describe, expect, test } from "vitest";
import type { DrawnPicture } from "@/api/types";
import { galleryOfDrawing, mostlyAcross } from "./drawing-model";
import { filtered, NO_FILTER } from "./gallery-filter";

const drawn = (index: number, changes: Partial<DrawnPicture> = {}) =>
  drawnPicture(index, { sample: sample(100 + index, 0, index, "a fox"), ...changes });
const ofLora = (lora: number, strength: number) => ({
  lora,
  lora_label: `ink, step ${lora}`,
  lora_strength: strength,
});
const twoLoras = {
  loras: [
    { file: "/a", label: "ink, step 0" },
    { file: "/b", label: "ink, step 1" },
  ],
};

describe("strengths across", () => {
  const drawing = wholeDrawing(
    [
      drawn(0),
      drawn(1, ofLora(0, 0.5)),
      drawn(2, ofLora(0, 1)),
      drawn(3, ofLora(1, 0.5)),
      drawnPicture(4, { ...ofLora(1, 1), state: "failed", message: "No memory." }),
    ],
    twoLoras,
  );
  const gallery = galleryOfDrawing(drawing, null, "strengths");

  test("a prompt has a lane for each LoRA, and the base model's picture in each", () => {
    const [group] = gallery.groups;
    expect(gallery.steps).toEqual([0, 1, 2]);
    expect([...(gallery.columns?.values() ?? [])]).toEqual(["Base", "Strength 0.5", "Strength 1"]);
    expect(group?.lanes.map(({ jobName }) => jobName)).toEqual(["ink, step 0", "ink, step 1"]);
    expect(group?.lanes.map(({ byStep }) => byStep.get(0)?.id)).toEqual([100, 100]);
    expect(group?.lanes[0]?.byStep.get(2)?.id).toBe(102);
    expect(group?.lanes[1]?.failures.get(2)?.message).toBe("No memory.");
    expect(gallery.loras?.get(103)).toBe("ink, step 1");
    expect(gallery.loras?.has(100)).toBe(false);
  });

  test("and the other way round, a lane for each strength", () => {
    const turned = galleryOfDrawing(drawing, null, "loras");
    expect([...(turned.columns?.values() ?? [])]).toEqual(["Base", "ink, step 0", "ink, step 1"]);
    const [group] = turned.groups;
    expect(group?.lanes.map(({ jobName }) => jobName)).toEqual(["Strength 0.5", "Strength 1"]);
    expect(group?.lanes[0]?.byStep.get(2)?.id).toBe(103);
  });
});

test("what there is more of goes across", () => {
  const many = [0, 1].map((lora) => drawn(lora, ofLora(lora, 1)));
  expect(mostlyAcross(wholeDrawing(many, twoLoras))).toBe("loras");
  const strong = [0.5, 1].map((strength, index) => drawn(index, ofLora(0, strength)));
  expect(mostlyAcross(wholeDrawing(strong))).toBe("strengths");
});

test("what is not there yet waits, is being drawn, or was given up", () => {
  const pictures = [drawn(0), drawnPicture(1, ofLora(0, 0.5)), drawnPicture(2, ofLora(0, 1))];
  const preview = { step: 0, prompt_index: 1, prompt: "a fox" };
  const running = galleryOfDrawing(wholeDrawing(pictures), preview, "strengths");
  const [lane] = running.groups[0]?.lanes ?? [];
  expect(running.isComing).toBe(true);
  expect(lane?.drawing).toMatchObject({ jobId: 7, step: 1, promptIndex: 1 });
  expect([...(lane?.waiting ?? [])]).toEqual([2]);

  const stopped = galleryOfDrawing(
    wholeDrawing([drawnPicture(0), ...pictures.slice(1)], { status: "stopped" }),
    preview,
    "strengths",
  );
  expect(stopped.isComing).toBe(false);
  expect(filtered(stopped, NO_FILTER).groups).toHaveLength(1);
});

test("seeds are rows of their own, and pictures that are alike do not hide each other", () => {
  const pictures = [0, 1, 2].map((index) => drawn(index, ofLora(0, 1)));
  const drawing = wholeDrawing(pictures);
  const asked = drawing.config.pictures as { seed: number }[];
  (asked[2] as { seed: number }).seed = 43;
  const { groups } = galleryOfDrawing(drawing, null, "strengths");
  expect(groups.map(({ lanes }) => lanes[0]?.byStep.get(1)?.id)).toEqual([100, 101, 102]);
});
