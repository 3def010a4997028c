import { screen } from "@testing-library/react";
import { sample, wholeJob } from "@tests/examples";
import { openPage } from "@tests/page";
import { pageOf, SmallServer } from "@tests/small-server";
import { expect, test } from "vitest";
import { readDraft } from "@/features/job-form/stored-draft";

test("a picture's prompt is added to the running job from the page of its pictures", async () => {
  const job = wholeJob({ config: { sample: { prompts: [{ prompt: "a hat" }] } } });
  new SmallServer()
    .on("GET /api/jobs/1", () => job)
    .on("GET /api/jobs/1/samples", () => pageOf(sample(7, 50, 0, "a fox")));
  const user = openPage("/jobs/1/gallery");
  await user.click(await screen.findByRole("button", { name: "Open prompt 1, step 50" }));
  await user.click(await screen.findByRole("button", { name: "Use as prompt of this job" }));
  expect(await screen.findByRole("dialog", { name: /change/i }, { timeout: 15_000 })).toBeVisible();
  const added = readDraft("change-1")?.config["sample.prompts"] as { prompt: string }[];
  expect(added.map(({ prompt }) => prompt)).toEqual(["a hat", "a fox"]);
  expect(screen.queryByRole("dialog", { name: "Sample" })).toBeNull();
}, 30_000);
