import { MantineProvider } from "@mantine/core";
import { Notifications } from "@mantine/notifications";
import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { render, screen, waitFor, within } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { checkpoint, measurement, sample, wholeJob } from "@tests/examples";
import { pageOf, problem, Refusal, SmallServer } from "@tests/small-server";
import { expect, test, vi } from "vitest";
import { withLora } from "@/lib/form-link";
import { paths } from "@/lib/paths";
import { CheckpointsPanel } from "./checkpoints-panel";

function serverOf(job = wholeJob({ status: "stopped", step: 30, resumable_from_steps: [10, 20] })) {
  return new SmallServer()
    .on("GET /api/jobs/1", () => job)
    .on("GET /api/jobs/1/samples", () =>
      pageOf(sample(7, 20, 0, "a fox"), { ...sample(6, 20, 1, "a hat"), superseded_by: 2 }),
    )
    .on("GET /api/jobs/1/checkpoints", () =>
      pageOf(
        checkpoint(10, { is_pinned: true, lora_norm: 0 }),
        checkpoint(20, { is_best: true, preservation_loss: 0.0625 }),
        checkpoint(30, { id: 99, is_final: true, num_layers: null, lora_norm: null }),
      ),
    )
    .on("GET /api/jobs/1/measurements", () =>
      pageOf(measurement(20, { validation_loss: 0.125, drift_without_trigger: 0.02 })),
    );
}

function open() {
  render(
    <MantineProvider env="test">
      <QueryClientProvider client={new QueryClient()}>
        <CheckpointsPanel
          jobId={1}
          expecting={false}
          startFrom={() => withLora(paths.cloneOf(1), "/o/ink/lora.safetensors")}
        />
        <Notifications />
      </QueryClientProvider>
    </MantineProvider>,
  );
  return userEvent.setup();
}

test("says of each what it is worth, whether it is sound and why it is still there", async () => {
  serverOf();
  open();
  const items = await screen.findAllByRole("listitem");
  expect(items.map((item) => within(item).getByRole("heading").textContent)).toEqual([
    "Step 30Final",
    "Step 20Best",
    "Step 10Pinned",
  ]);
  const best = items[1] as HTMLElement;
  await within(best).findByText(/Validation.0\.125/);
  expect(within(best).getByText(/Drift.0\.02/)).toBeVisible();
  expect(within(best).getByText(/Mean loss.0\.3.*Preservation.0\.0625/)).toBeVisible();
  expect(within(best).getByText("Read back and sound: 40 layers, norm 1.25")).toBeVisible();
  expect(best.querySelectorAll("img")).toHaveLength(1);
  const pinned = items[2] as HTMLElement;
  expect(within(pinned).getByText(/it changes nothing yet/)).toBeVisible();
  expect(within(pinned).queryByText(/Preservation/)).toBeNull();
});

test("says of the result of an early end that it is an earlier step's, the best", async () => {
  serverOf(wholeJob({ status: "completed", step: 30 })).on("GET /api/jobs/1/checkpoints", () =>
    pageOf(
      checkpoint(20, { is_best: true }),
      checkpoint(20, { id: 99, is_final: true, is_best: true }),
      checkpoint(30),
    ),
  );
  open();
  const [final, , best] = await screen.findAllByRole("listitem");
  expect(within(final as HTMLElement).getByRole("heading")).toHaveTextContent("Step 20FinalBest");
  expect(
    await within(final as HTMLElement).findByText(
      "The training came to step 30; this is the LoRA of step 20, the best of those kept.",
    ),
  ).toBeVisible();
  expect(within(best as HTMLElement).getByText(/lowest validation loss/)).toBeVisible();
});

test("offers either program's names, and a job that starts from it", async () => {
  serverOf();
  const user = open();
  await user.click(
    await screen.findByRole("button", { name: "More of the checkpoint of step 20" }),
  );
  expect(await screen.findByRole("menuitem", { name: /bundle/ })).toHaveAttribute(
    "href",
    "/api/jobs/1/bundle?step=20",
  );
  expect(await screen.findByRole("menuitem", { name: /ComfyUI's/ })).toHaveAttribute(
    "href",
    "/api/jobs/1/checkpoints/20/file?format=comfyui",
  );
  expect(screen.getByRole("menuitem", { name: /starts from it/ })).toHaveAttribute(
    "href",
    "/jobs/new?from=1&lora=%2Fo%2Fink%2Flora.safetensors",
  );
});

test("saves a workflow with a word on where it and the LoRA go, or says why there is none", async () => {
  const file = "ink-portraits-step-000020-comfyui.comfyui.json";
  const server = serverOf().on(
    "GET /api/jobs/1/checkpoints/20/workflow",
    () =>
      new Response("{}", {
        headers: { "Content-Disposition": `attachment; filename="${file}"` },
      }),
  );
  const saved = vi.spyOn(HTMLAnchorElement.prototype, "click").mockImplementation(() => {});
  const user = open();
  const more = { name: "More of the checkpoint of step 20" };
  await user.click(await screen.findByRole("button", more));
  await user.click(await screen.findByRole("menuitem", { name: /workflow/ }));
  await screen.findByText(
    new RegExp(
      `Put ink-portraits-step-000020-comfyui.safetensors, which “Download in ComfyUI's names” gives, into ComfyUI/models/loras.*${file}`,
    ),
  );
  expect((saved.mock.contexts[0] as HTMLAnchorElement).download).toBe(file);

  server.on(
    "GET /api/jobs/1/checkpoints/20/workflow",
    () => new Refusal(409, [problem("no_workflow", "ComfyUI has no Tiny FLUX.2.")]),
  );
  await user.click(screen.getByRole("button", more));
  await user.click(await screen.findByRole("menuitem", { name: /workflow/ }));
  await screen.findByText(/ComfyUI has no Tiny FLUX.2/);
  expect(saved).toHaveBeenCalledTimes(1);
});

test("offers a LoKr under the names that there are for it", async () => {
  serverOf(wholeJob({ status: "stopped", config: { target: { target_type: "lokr" } } }));
  const user = open();
  await user.click(
    await screen.findByRole("button", { name: "More of the checkpoint of step 20" }),
  );
  await screen.findByRole("menuitem", { name: /Diffusers'/ });
  await waitFor(() => expect(screen.queryByRole("menuitem", { name: /ComfyUI's/ })).toBeNull());
});

test("leads from its pictures to those of its step", async () => {
  serverOf();
  open();
  const link = await screen.findByRole("link", { name: "The pictures of step 20 in the gallery" });
  expect(link).toHaveAttribute("href", "/jobs/1/gallery?step=20");
});

test("deletes at once and takes it back at a press", async () => {
  const server = serverOf()
    .on("DELETE /api/jobs/1/checkpoints/20", () => ({ id: "ink-1" }))
    .on("POST /api/trash/ink-1/restore", () => ({ job_id: 1 }));
  const user = open();
  await user.click(
    await screen.findByRole("button", { name: "More of the checkpoint of step 20" }),
  );
  const remove = await screen.findByRole("menuitem", { name: "Delete" });
  await waitFor(() => expect(remove).toBeEnabled());
  await user.click(remove);
  await screen.findByText("The checkpoint of step 20 is in the trash.");
  await waitFor(() => expect(screen.getAllByRole("listitem")).toHaveLength(2));
  await user.click(screen.getByRole("button", { name: "Undo" }));
  await waitFor(() => expect(server.asked("POST /api/trash/ink-1/restore")).toHaveLength(1));
  await waitFor(() => expect(screen.getAllByRole("listitem")).toHaveLength(3));
});

test("resumes from a step after saying what is set aside", async () => {
  const server = serverOf().on("POST /api/jobs/1/queue", () => wholeJob({ status: "queued" }));
  const user = open();
  await user.click(await screen.findByRole("button", { name: "Resume from here, step 10" }));
  expect(await screen.findByText(/up to step 30, is set aside/)).toBeVisible();
  await user.click(screen.getByRole("button", { name: "Queue it" }));
  await waitFor(() => expect(server.asked("POST /api/jobs/1/queue")).toHaveLength(1));
  expect(server.asked("POST /api/jobs/1/queue")[0]?.body).toEqual({ resume_from_step: 10 });
});

test("pins a checkpoint and keeps a note of it", async () => {
  const server = serverOf();
  server.on("PATCH /api/jobs/1/checkpoints/20", ({ body }) => {
    const { pinned = false, note = "" } = body as { pinned?: boolean; note?: string };
    return checkpoint(20, { is_pinned: pinned, note });
  });
  const user = open();
  const more = { name: "More of the checkpoint of step 20" };
  await user.click(await screen.findByRole("button", more));
  await user.click(await screen.findByRole("menuitem", { name: /^Pin/ }));
  await waitFor(() => expect(screen.getAllByText("Pinned")).toHaveLength(2));
  await user.click(screen.getByRole("button", more));
  await user.click(await screen.findByRole("menuitem", { name: "Write a note" }));
  await user.type(screen.getByRole("textbox", { name: "Note" }), "best hands");
  await user.tab();
  await waitFor(() =>
    expect(server.asked("PATCH /api/jobs/1/checkpoints/20").map(({ body }) => body)).toEqual([
      { pinned: true },
      { note: "best hands" },
    ]),
  );
});

test("says what waits for the end of a job that runs", async () => {
  serverOf(wholeJob({ status: "running", resumable_from_steps: [10, 20] }));
  const user = open();
  await screen.findByText(/Once the job has ended, it can be resumed from a checkpoint/);
  expect(screen.queryByRole("button", { name: /^Resume from here/ })).toBeNull();
  await user.click(screen.getByRole("button", { name: "More of the checkpoint of step 20" }));
  for (const name of [/bundle.*Once the job has ended/, /Delete.*Once the job has ended/]) {
    expect(await screen.findByRole("menuitem", { name })).toHaveAttribute("data-disabled");
  }
});

test("says of a job in the queue how to resume it from a checkpoint", async () => {
  serverOf(wholeJob({ status: "queued", resumable_from_steps: [10, 20] }));
  open();
  await screen.findByText("Out of the queue, the job can be resumed from any of these.");
});
