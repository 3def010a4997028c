import { MantineProvider } from "@mantine/core";
import { act, render, screen } from "@testing-library/react";
import { jobSummary } from "@tests/examples";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { Stats } from "@/components/ui/stat";
import { JobFigures } from "./job-figures";
import { LastSign } from "./last-sign";

beforeEach(() => {
  vi.useFakeTimers({ now: new Date("2026-01-31T20:17:10Z") });
});

afterEach(() => {
  vi.useRealTimers();
});

const figure = (label: string) => screen.getByText(label).nextElementSibling?.textContent;

test.each([
  [{ step_seconds: 0.42, best_step_seconds: 0.4 }, "420 ms, best 400 ms"],
  [{ step_seconds: 0.4, best_step_seconds: 0.4 }, "400 ms"],
  [{ step_seconds: 0.42, best_step_seconds: null }, "420 ms"],
  [{ step_seconds: null, best_step_seconds: null }, "–"],
])("the step time stands beside the best of the run where that is another: %o", (times, shown) => {
  render(
    <MantineProvider env="test">
      <JobFigures job={jobSummary(times)} />
    </MantineProvider>,
  );
  expect(figure("Step time")).toBe(shown);
});

test("the last sign of life counts up while the trainer is silent", () => {
  const said = (at: string) => (
    <MantineProvider env="test">
      <Stats>
        <LastSign at={at} />
      </Stats>
    </MantineProvider>
  );
  const page = render(said("2026-01-31T20:17:09Z"));
  expect(figure("Last sign")).toBe("just now");
  act(() => {
    vi.advanceTimersByTime(90_000);
  });
  expect(figure("Last sign")).toBe("1 min 31 s ago");
  page.rerender(said("2026-01-31T20:18:40Z"));
  expect(figure("Last sign")).toBe("just now");
});
