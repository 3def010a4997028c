import { checkpoint, sample, wholeJob } from "@tests/examples";
import { expect, test } from "vitest";
import { giftOf, loraPath, promptsWith, withGift, withLora, withPrompt } from "./form-link";
import { paths } from "./paths";

const picture = {
  ...sample(7, 50, 0, "a fox & a hat, 50 %"),
  seed: 9,
  width: 256,
  lora_strength: 0.5,
  control_images: ["cats/1.png", "cats/2.png"],
};
const searchOf = (address: string) => new URL(address, "http://localhost").searchParams;

test("a picture's prompt reaches the form through its address, recipe and all", () => {
  const search = searchOf(withPrompt(paths.cloneOf(1), picture));
  expect(search.get("from")).toBe("1");
  const config = withGift(search, { sample: { sample_every: 5, prompts: [{ prompt: "first" }] } });
  expect(config).toEqual({
    sample: {
      sample_every: 5,
      prompts: [
        { prompt: "first" },
        {
          prompt: "a fox & a hat, 50 %",
          seed: 9,
          width: 256,
          height: 128,
          guidance_scale: 1,
          lora_strength: 0.5,
          control_images: ["cats/1.png", "cats/2.png"],
        },
      ],
    },
  });
  expect(promptsWith({ sample: { prompts: [{ prompt: "first" }] } }, picture)).toEqual(
    (config.sample as { prompts: unknown[] }).prompts,
  );
});

test("a checkpoint's LoRA reaches the form by its full path", () => {
  const job = wholeJob({ training_name: "ink", folder: "ink-2" });
  const final = checkpoint(30, { is_final: true });
  expect(loraPath("/o", job, final)).toBe("/o/ink-2/ink.safetensors");
  const path = loraPath("/o", job, checkpoint(20));
  expect(path).toBe("/o/ink-2/checkpoints/step-000020/lora.safetensors");
  const search = searchOf(withLora(paths.cloneOf(1), path));
  expect(withGift(search, { training: { steps: 5 } })).toEqual({
    training: { steps: 5, start_from_lora: path },
  });
});

test("an address without a gift changes nothing, and a foreign parameter is none", () => {
  const search = searchOf("/jobs/new?from=1&seed=no&utm=x");
  expect(withGift(search, { sample: {} })).toEqual({ sample: {} });
  expect(giftOf(searchOf("/jobs/new?from=1"))).toBe("");
});
