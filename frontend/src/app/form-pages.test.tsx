/** The form's page: where its values come from, and where they go. */

import { act, cleanup, screen, waitFor } from "@testing-library/react";
import { syntheticSchema, system, wholeJob } from "@tests/examples";
import { openPage } from "@tests/page";
import { jobsOf, problem, Refusal, SmallServer } from "@tests/small-server";
import { beforeEach, describe, expect, test } from "vitest";
import type { Job } from "@/api/types";
import { holdDraft } from "@/features/job-form/own-draft";
import { draftsLike, readDraft, storeDraft } from "@/features/job-form/stored-draft";

type Typed = { kitchen: { guests: unknown } };

let server: SmallServer;
const config = {
  ...syntheticSchema.defaults,
  job: { training_name: "ink-portraits" },
  kitchen: { guests: 9 },
};

beforeEach(() => {
  server = new SmallServer()
    .on("GET /api/jobs", jobsOf())
    .on("GET /api/system", () => system)
    .on("GET /api/job-schema", () => syntheticSchema)
    .on("POST /api/jobs/validate", () => ({ valid: true, errors: [], warnings: [], advice: [] }))
    .on("GET /api/jobs/1", () => wholeJob({ status: "stopped", config }));
});

const validated = () => server.asked("POST /api/jobs/validate").at(-1)?.body as { config: object };

test("a clone begins with the job's settings under a name of its own", async () => {
  const user = openPage("/jobs/new?from=1");
  expect(await screen.findByLabelText("Guests")).toHaveValue("9");
  await waitFor(() =>
    expect(validated().config).toMatchObject({ job: { training_name: "ink-portraits-copy" } }),
  );
  server.on("POST /api/jobs", () => wholeJob({ id: 2, status: "draft" }));
  await user.click(screen.getByRole("button", { name: "Save draft" }));
  await waitFor(() => expect(window.location.pathname).toBe("/jobs/2/edit"));
});

test("a job is edited between its runs: saved first, and queued then", async () => {
  server
    .on("PATCH /api/jobs/1", () => wholeJob({ status: "stopped", config }))
    .on("POST /api/jobs/1/queue", () => wholeJob({ status: "queued", queue_position: 1 }));
  const user = openPage("/jobs/1/edit");
  const guests = await screen.findByLabelText("Guests");
  await user.clear(guests);
  await user.type(guests, "12");
  await user.click(screen.getByRole("button", { name: "Save and queue" }));
  await waitFor(() => expect(window.location.pathname).toBe("/jobs/1"));
  const asked = server.requests.filter(
    ({ method, path }) => method !== "GET" && !/\/(validate|plan)$/.test(path),
  );
  expect(asked.map(({ method, path }) => `${method} ${path}`)).toEqual([
    "PATCH /api/jobs/1",
    "POST /api/jobs/1/queue",
  ]);
  expect(asked[0]?.body).toMatchObject({ config: { kitchen: { guests: 12 } } });
});

describe("a job that another page changed", () => {
  const theirs = { ...config, kitchen: { guests: 30 } };
  const refuseOld = () => {
    let held: object = config;
    server
      .on("GET /api/jobs/1", () => wholeJob({ status: "stopped", config: held as Job["config"] }))
      .on("PATCH /api/jobs/1", ({ body }) => {
        const { config: next, instead_of } = body as { config: object; instead_of: object };
        if (JSON.stringify(instead_of) !== JSON.stringify(held)) {
          return new Refusal(409, [problem("job_changed", "It was changed elsewhere.")]);
        }
        held = next;
        return wholeJob({ status: "stopped", config: held as Job["config"] });
      });
    return (next: object) => {
      held = next;
    };
  };
  const typeGuests = async (user: ReturnType<typeof openPage>, guests: string) => {
    const field = await screen.findByLabelText("Guests");
    await user.clear(field);
    await user.type(field, guests);
  };

  test("is edited from what it is now, however lately it was shown", async () => {
    const user = openPage("/jobs/1");
    const edit = await screen.findByRole("link", { name: "Edit" });
    let answer = () => {};
    server.on("GET /api/jobs/1", () => {
      const job = wholeJob({ status: "stopped", config: theirs as Job["config"] });
      return new Promise((resolve) => {
        const before = answer;
        answer = () => {
          before();
          resolve(job);
        };
      });
    });
    await user.click(edit);
    await waitFor(() => expect(server.asked("GET /api/job-schema")).not.toHaveLength(0));
    await act(async () => {});
    expect(screen.queryByLabelText("Guests")).toBeNull();
    await waitFor(() => {
      answer();
      expect(screen.getByLabelText("Guests")).toHaveValue("30");
    });
  });

  test("is not changed back unseen: the newer values are loaded, or replaced on purpose", async () => {
    const change = refuseOld();
    const user = openPage("/jobs/1/edit");
    await typeGuests(user, "12");
    change(theirs);
    await user.click(screen.getByRole("button", { name: "Save changes" }));
    expect(await screen.findByText("This job was changed elsewhere")).toBeVisible();
    expect(screen.getByLabelText("Guests")).toHaveValue("12");
    expect(screen.getByRole("row", { name: "Kitchen › Guests 12 30" })).toBeVisible();

    await user.click(screen.getByRole("button", { name: "Load the newer values" }));
    await waitFor(() => expect(screen.getByLabelText("Guests")).toHaveValue("30"));
    expect(screen.queryByText("This job was changed elsewhere")).toBeNull();
    await user.click(screen.getByRole("button", { name: "Undo" }));
    expect(screen.getByLabelText("Guests")).toHaveValue("12");

    change({ ...theirs, kitchen: { guests: 31 } });
    await user.click(screen.getByRole("button", { name: "Save changes" }));
    await user.click(await screen.findByRole("button", { name: "Save mine in their place" }));
    expect(await screen.findByText("Saved.")).toBeVisible();
    expect(server.asked("PATCH /api/jobs/1").at(-1)?.body).toMatchObject({
      config: { kitchen: { guests: 12 } },
      instead_of: { kitchen: { guests: 31 } },
    });
    expect(screen.queryByText("This job was changed elsewhere")).toBeNull();
  });

  test("is known to be another when what was typed comes back after a reload", async () => {
    const change = refuseOld();
    const user = openPage("/jobs/1/edit");
    await typeGuests(user, "12");
    cleanup();
    change(theirs);
    openPage("/jobs/1/edit");
    expect(await screen.findByLabelText("Guests")).toHaveValue("12");
    await user.click(screen.getByRole("button", { name: "Save changes" }));
    expect(await screen.findByText("This job was changed elsewhere")).toBeVisible();
  });
});

test("what a job's checkpoints do not allow is said at the field, and a new job takes it along", async () => {
  server.on("POST /api/jobs/validate", (request) => {
    const { job_id, config } = request.body as { job_id: number | null; config: Typed };
    const refused = job_id === 1 && config.kitchen.guests === 8;
    return {
      valid: !refused,
      errors: refused ? [problem("needs_clone", "Guests cannot become 8.", "kitchen.guests")] : [],
      warnings: [],
      advice: [],
    };
  });
  const user = openPage("/jobs/1/edit");
  await waitFor(() => expect(validated()).toMatchObject({ job_id: 1 }));
  const guests = await screen.findByLabelText("Guests");
  await user.clear(guests);
  await user.type(guests, "8");
  await waitFor(() => expect(guests).toHaveAccessibleDescription(/Guests cannot become 8/));
  const [, besideField] = screen.getAllByRole("button", { name: "Clone with these values" });
  await user.click(besideField as HTMLElement);
  await waitFor(() => expect(window.location.pathname).toBe("/jobs/new"));
  expect(await screen.findByLabelText("Guests")).toHaveValue("8");
  await waitFor(() =>
    expect(validated()).toMatchObject({
      job_id: null,
      config: { job: { training_name: "ink-portraits-copy" }, kitchen: { guests: 8 } },
    }),
  );
  expect(await screen.findByText("Ready to queue")).toBeVisible();
});

test("what a new job is to learn goes with it when it is saved, and not to the next new job", async () => {
  const kinds = () => server.asked("POST /api/jobs/validate").map(({ body }) => body);
  server
    .on("POST /api/jobs", () => wholeJob({ id: 2, status: "draft", config }))
    .on("GET /api/jobs/2", () => wholeJob({ id: 2, status: "draft", config }));
  storeDraft("new.kind", { kind: "style" });
  const user = openPage("/jobs/new");
  await waitFor(() => expect(kinds().at(-1)).toMatchObject({ kind: "style", job_id: null }));
  await user.click(await screen.findByRole("button", { name: "Save draft" }));
  await waitFor(() => expect(kinds().at(-1)).toMatchObject({ kind: "style", job_id: 2 }));
  expect(draftsLike("new")).toEqual([]);
});

describe("what is typed while a new job is saved", () => {
  const answering = () => {
    let answer = (_: object) => {};
    server.on("POST /api/jobs", () => new Promise((resolve) => (answer = resolve)));
    return (job: object) => act(async () => answer(job));
  };
  const typeGuests = async (user: ReturnType<typeof openPage>, guests: string) => {
    const field = await screen.findByLabelText("Guests");
    await user.clear(field);
    await user.type(field, guests);
  };

  test("is in the form of that job, and not in that of the next new one", async () => {
    const saved = wholeJob({ id: 2, status: "draft", config });
    server.on("GET /api/jobs/2", () => saved);
    const answer = answering();
    const user = openPage("/jobs/new");
    await typeGuests(user, "9");
    await user.click(screen.getByRole("button", { name: "Save draft" }));
    await waitFor(() => expect(server.asked("POST /api/jobs")).toHaveLength(1));
    await typeGuests(user, "12");
    await answer(saved);
    await waitFor(() => expect(window.location.pathname).toBe("/jobs/2/edit"));
    await waitFor(() => expect(screen.getByLabelText("Guests")).toHaveValue("12"));
    cleanup();
    openPage("/jobs/new");
    expect(await screen.findByLabelText("Guests")).toHaveValue("4");
  });

  test("is kept for that job's form when it was queued, as YAML too", async () => {
    server
      .on("POST /api/jobs/to-yaml", () => ({ text: "kitchen:" }))
      .on("POST /api/jobs/from-yaml", () => ({ config, errors: [], lines: {} }));
    const answer = answering();
    const user = openPage("/jobs/new");
    await user.click(await screen.findByRole("radio", { name: "As YAML" }));
    const editor = await screen.findByRole("textbox", { name: "The job as YAML" });
    await user.click(screen.getByRole("button", { name: "Queue job" }));
    await waitFor(() => expect(server.asked("POST /api/jobs")).toHaveLength(1));
    await user.type(editor, " # night");
    await answer(wholeJob({ id: 2, status: "queued", config }));
    await waitFor(() => expect(window.location.pathname).toBe("/jobs/2"));
    expect(await screen.findByText(/What you typed after that is not in this run/)).toBeVisible();
    expect(readDraft("edit-2.yaml")?.config.text).toBe("kitchen: # night");
    cleanup();
    openPage("/jobs/new");
    expect(await screen.findByLabelText("Guests")).toHaveValue("4");
  });
});

test("a new job of another tab is neither shown nor forgotten here, and a closed tab's goes on", async () => {
  server.on("POST /api/jobs", () => wholeJob({ id: 2, status: "queued", config }));
  storeDraft("new~theirs", { ...config, kitchen: { guests: 7 } });
  holdDraft("new~theirs", "their page");
  storeDraft("new~closed", { ...config, kitchen: { guests: 8 } });
  const user = openPage("/jobs/new");
  expect(await screen.findByLabelText("Guests")).toHaveValue("8");
  await user.click(screen.getByRole("button", { name: "Queue job" }));
  await waitFor(() => expect(window.location.pathname).toBe("/jobs/2"));
  cleanup();
  openPage("/jobs/new");
  expect(await screen.findByLabelText("Guests")).toHaveValue("4");
  expect(draftsLike("new")).toEqual(["new~theirs"]);
});

test("a job that was deleted meanwhile is said to be gone, and not asked for again", async () => {
  server.on(
    "POST /api/jobs/validate",
    () => new Refusal(404, [problem("no_such_job", "There is no job 1.")]),
  );
  openPage("/jobs/1/edit");
  expect(await screen.findByText("There is no job 1.")).toBeVisible();
  expect(screen.queryByText(/Not checked/)).toBeNull();
});
