import { MantineProvider } from "@mantine/core";
import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { fireEvent, render, screen } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { jobSummary, wholeJob } from "@tests/examples";
import { jobsOf, SmallServer } from "@tests/small-server";
import type { ReactElement } from "react";
import { beforeEach, describe, expect, test, vi } from "vitest";
import { DeleteDialog } from "./delete-dialog";
import { ResumeDialog } from "./resume-dialog";
import ScheduleDialog from "./schedule-dialog";

beforeEach(() => {
  new SmallServer().on("GET /api/jobs", jobsOf()).on("GET /api/jobs/5", () => wholeJob({ id: 5 }));
});

/** Draws a dialog that stays on the page, as pages do, open or not. */
function page() {
  const client = new QueryClient({ defaultOptions: { queries: { retry: false } } });
  const around = (dialog: ReactElement) => (
    <MantineProvider env="test">
      <QueryClientProvider client={client}>{dialog}</QueryClientProvider>
    </MantineProvider>
  );
  const drawn = render(around(<p />));
  return (dialog: ReactElement) => drawn.rerender(around(dialog));
}

describe("a dialog that is opened again asks anew", () => {
  test("from which step to go on: the newest there is by then", async () => {
    const user = userEvent.setup();
    const onQueue = vi.fn();
    const draw = page();
    const show = (resumable_from_steps: number[], opened: boolean) =>
      draw(
        <ResumeDialog
          job={wholeJob({ resumable_from_steps })}
          opened={opened}
          onClose={() => {}}
          onQueue={onQueue}
        />,
      );
    show([100, 200], true);
    await user.selectOptions(screen.getByLabelText("Step"), "100");
    show([100, 200], false);
    show([200, 300, 400], true);
    expect(screen.getByLabelText("Step")).toHaveDisplayValue("Step 400, the newest");
    await user.click(screen.getByRole("button", { name: "Queue" }));
    expect(onQueue).toHaveBeenCalledWith(400);
  });

  test("when a job may start: what it has by then, and not what was typed and cancelled", async () => {
    const user = userEvent.setup();
    const onSave = vi.fn();
    const draw = page();
    const show = (changes: Parameters<typeof jobSummary>[0], opened: boolean) =>
      draw(
        <ScheduleDialog
          job={jobSummary({ status: "queued", ...changes })}
          opened={opened}
          onClose={() => {}}
          onSave={onSave}
        />,
      );
    show({}, true);
    await user.click(screen.getByRole("radio", { name: "Low" }));
    fireEvent.change(screen.getByLabelText("Not before"), {
      target: { value: "2030-01-01T10:00" },
    });
    show({}, false);
    show({ priority: 1, run_after_job_id: 5 }, true);
    await user.click(screen.getByRole("button", { name: "Save" }));
    expect(onSave).toHaveBeenCalledWith({ priority: 1, not_before: null, run_after_job_id: 5 });
  });

  test("whether files go too: no, whatever was ticked before", async () => {
    const user = userEvent.setup();
    const onDelete = vi.fn();
    const draw = page();
    const show = (opened: boolean) =>
      draw(
        <DeleteDialog
          jobs={[jobSummary({ status: "stopped" })]}
          opened={opened}
          onClose={() => {}}
          onDelete={onDelete}
        />,
      );
    show(true);
    await user.click(screen.getByRole("checkbox"));
    show(false);
    show(true);
    expect(screen.getByRole("checkbox")).not.toBeChecked();
    await user.click(screen.getByRole("button", { name: /^Delete/ }));
    expect(onDelete).toHaveBeenCalledWith(false);
  });
});
