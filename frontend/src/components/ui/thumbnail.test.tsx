import { fireEvent, render, screen } from "@testing-library/react";
import { expect, test } from "vitest";
import { Thumbnail } from "./thumbnail";

test("a picture that is gone leaves a blank, and the next one is shown", () => {
  const { rerender } = render(<Thumbnail src="/first" alt="a fox" />);
  fireEvent.error(screen.getByRole("img", { name: "a fox" }));
  expect(screen.queryByRole("img")).toBeNull();
  rerender(<Thumbnail src="/second" alt="a fox" />);
  expect(screen.getByRole("img", { name: "a fox" })).toHaveAttribute("src", "/second");
});
