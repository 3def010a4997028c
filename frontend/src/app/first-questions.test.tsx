import { render, screen, waitFor } from "@testing-library/react";
import { sample, syntheticSchema, system, wholeJob } from "@tests/examples";
import { streamed } from "@tests/page";
import { jobsOf, pageOf, SmallServer } from "@tests/small-server";
import { expect, test } from "vitest";
import { App } from "./app";
import { askFirst } from "./first-questions";
import { newQueryClient } from "./query-client";

const GALLERY = "/jobs/1/gallery";

function serverWithPictures(): SmallServer {
  return new SmallServer()
    .on("GET /api/jobs", jobsOf())
    .on("GET /api/jobs/1", () => wholeJob())
    .on("GET /api/jobs/1/samples", () =>
      pageOf(sample(1, 0, 0, "a red circle"), sample(2, 100, 0, "a red circle")),
    )
    .on("GET /api/system", () => system)
    .on("GET /api/job-schema", () => ({ ...syntheticSchema, example: syntheticSchema.defaults }));
}

test("a gallery's answers are asked for before the page is, and once", async () => {
  const server = serverWithPictures();
  const client = newQueryClient();
  askFirst(client, GALLERY);
  const asked = () => server.requests.map(({ path }) => path).filter((path) => /jobs/.test(path));
  const first = ["/api/jobs/1", "/api/jobs/1/samples"];
  expect(asked().sort()).toEqual(first);

  window.history.replaceState(null, "", GALLERY);
  render(<App client={client} env="test" />);
  expect(await screen.findByRole("grid")).toBeVisible();
  await streamed(server, "load", {}, 1);
  await waitFor(() => expect(client.isFetching()).toBe(0));
  expect(asked().sort()).toEqual(first);
});

test.each(["/", "/jobs/1", "/jobs/x/gallery", "/try"])("at %s nothing is asked for", (path) => {
  const server = serverWithPictures();
  askFirst(newQueryClient(), path);
  expect(server.requests).toEqual([]);
});
