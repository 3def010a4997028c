import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { renderHook, waitFor } from "@testing-library/react";
import { sample } from "@tests/examples";
import { SmallServer } from "@tests/small-server";
import type { ReactNode } from "react";
import { expect, test } from "vitest";
import { keys } from "@/api/queries";
import type { Sample } from "@/api/types";
import { useSampleMarks } from "./use-sample-marks";

test("a note on a picture that has changed since it was shown changes the note alone", async () => {
  const server = new SmallServer().on("PATCH /api/jobs/1/samples/3", () => new Promise(() => {}));
  const shown = { ...sample(3, 50, 0, "a fox"), is_starred: true };
  const client = new QueryClient();
  client.setQueryData<Sample[]>(keys.samples(1), [
    { ...shown, is_starred: false, superseded_by: 2 },
  ]);
  const wrapper = ({ children }: { children: ReactNode }) => (
    <QueryClientProvider client={client}>{children}</QueryClientProvider>
  );
  const { result } = renderHook(useSampleMarks, { wrapper });
  result.current(1, shown, { note: "bees" });
  await waitFor(() => expect(server.asked("PATCH /api/jobs/1/samples/3")).toHaveLength(1));
  expect(client.getQueryData<Sample[]>(keys.samples(1))).toEqual([
    { ...shown, is_starred: false, superseded_by: 2, note: "bees" },
  ]);
});
