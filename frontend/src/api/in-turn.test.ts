import { expect, test } from "vitest";
import { inTurn } from "./in-turn";

test("one question is asked after the other, also after one that failed", async () => {
  const asked: string[] = [];
  let answer: (value: string) => void = () => {};
  const first = inTurn(() => {
    asked.push("first");
    return new Promise<string>((resolve) => {
      answer = resolve;
    });
  });
  const second = inTurn(() => {
    asked.push("second");
    return Promise.reject(new Error("away"));
  });
  const third = inTurn(async () => "here");
  await Promise.resolve();
  expect(asked).toEqual(["first"]);
  answer("there");
  expect(await first).toBe("there");
  await expect(second).rejects.toThrow("away");
  expect(await third).toBe("here");
});
