import { screen } from "@testing-library/react";
import { command, sample, wholeJob } from "@tests/examples";
import { openPage } from "@tests/page";
import { pageOf, SmallServer } from "@tests/small-server";
import { expect, test } from "vitest";
import type { Command } from "@/api/types";
import { readDraft, storeDraft } from "@/features/job-form/stored-draft";

/** Takes the fox of job 1's pictures as a prompt of job 1; says what is then typed in the drawer. */
async function addFox(...asked: Command[]): Promise<Record<string, unknown>> {
  const job = wholeJob({ config: { sample: { prompts: [{ prompt: "a hat" }] } } });
  new SmallServer()
    .on("GET /api/jobs/1", () => job)
    .on("GET /api/jobs/1/commands", () => pageOf(...asked))
    .on("GET /api/jobs/1/samples", () => pageOf(sample(7, 50, 0, "a fox")));
  const user = openPage("/jobs/1/gallery");
  await user.click(await screen.findByRole("button", { name: "Open prompt 1, step 50" }));
  await user.click(await screen.findByRole("button", { name: "Use as prompt of this job" }));
  expect(await screen.findByRole("dialog", { name: /change/i }, { timeout: 15_000 })).toBeVisible();
  expect(screen.queryByRole("dialog", { name: "Sample" })).toBeNull();
  return readDraft("change-1")?.config ?? {};
}

const prompts = (typed: Record<string, unknown>) =>
  (typed["sample.prompts"] as { prompt: string }[]).map(({ prompt }) => prompt);

test("a picture's prompt is added to the running job from the page of its pictures", async () => {
  expect(prompts(await addFox())).toEqual(["a hat", "a fox"]);
}, 30_000);

test("a picture's prompt comes after those that the trainer has not taken yet", async () => {
  const settings = { "sample.prompts": [{ prompt: "a hat" }, { prompt: "a boat" }] };
  expect(prompts(await addFox(command({ settings })))).toEqual(["a hat", "a boat", "a fox"]);
}, 30_000);

test("a picture's prompt leaves what was typed and not sent as it is", async () => {
  storeDraft("change-1", {
    "training.learning_rate": 0.5,
    "sample.prompts": [{ prompt: "a hat" }, { prompt: "a tower" }],
  });
  const typed = await addFox();
  expect(prompts(typed)).toEqual(["a hat", "a tower", "a fox"]);
  expect(typed["training.learning_rate"]).toBe(0.5);
}, 30_000);
