import { expect, test } from "vitest";
import type { FineContrast } from "@/api/types";
import { ringingAdvice } from "./ringing-advice";

const contrast = (
  training_pictures: number | null,
  ...samples: [sample: number, base: number][]
): FineContrast => ({
  training_pictures,
  samples: samples.map(([sample, base], prompt_index) => ({
    step: 250,
    prompt_index,
    sample,
    base,
    distance_from_base: 0.1,
    with_trigger: true,
  })),
});
const guided = (scale: number) => ({ advanced: { do_differential_guidance: true, scale } });

test("samples with more fine contrast than base and training pictures are said to ring", () => {
  const said = ringingAdvice(contrast(0.03, [0.06, 0.02], [0.05, 0.03]), guided(3));
  expect(said?.message).toContain("2 of 2 samples");
  expect(said?.message).toContain("step 250");
  expect(said?.message).toContain("1.7 times");
  expect(said?.cure).toContain("Scale to 2");
});

test("the guidance goes down step by step, and then it is the learning rate's turn", () => {
  const rings = contrast(0.03, [0.06, 0.02]);
  expect(ringingAdvice(rings, guided(2))?.cure).toContain("Scale to 1");
  expect(ringingAdvice(rings, guided(1))?.cure).toContain("Learning Rate");
  expect(ringingAdvice(rings, {})?.cure).toContain("Learning Rate");
});

test("a style as fine as its training pictures is none, nor is one odd sample of many", () => {
  expect(ringingAdvice(contrast(0.06, [0.06, 0.02], [0.07, 0.02]), guided(3))).toBeNull();
  const odd = contrast(0.03, [0.06, 0.02], [0.03, 0.02], [0.03, 0.03]);
  expect(ringingAdvice(odd, guided(3))).toBeNull();
});

test("without training pictures or samples to compare nothing is said", () => {
  expect(ringingAdvice(contrast(null, [0.06, 0.02]), guided(3))).toBeNull();
  expect(ringingAdvice(contrast(0.03), guided(3))).toBeNull();
});
