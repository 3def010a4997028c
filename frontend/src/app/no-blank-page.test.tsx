/** Whatever the server does, a page says something: that it loads, or what went wrong. */

import { screen, within } from "@testing-library/react";
import { openPage } from "@tests/page";
import { problem, Refusal, SmallServer } from "@tests/small-server";
import { describe, expect, test } from "vitest";

const addresses = [
  "/",
  "/jobs/new",
  "/jobs/1",
  "/jobs/1/edit",
  "/jobs/1/gallery",
  "/jobs/1/compare?with=2",
  "/system",
  "/trash",
];

describe.each(addresses)("%s", (address) => {
  test("says that it loads while no answer comes", async () => {
    new SmallServer().otherwise = () => new Promise(() => {});
    openPage(address);
    const main = await screen.findByRole("main");
    expect((await within(main).findAllByText("Loading")).length).toBeGreaterThan(0);
  });

  test("says what went wrong, with a way to try again", async () => {
    new SmallServer().otherwise = () =>
      new Refusal(500, [problem("crash", "The database is gone.")]);
    openPage(address);
    const main = await screen.findByRole("main");
    expect((await within(main).findAllByText(/The database is gone\./)).length).toBeGreaterThan(0);
    expect(within(main).getAllByRole("button", { name: "Try again" }).length).toBeGreaterThan(0);
  });
});
