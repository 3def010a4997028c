import { expect, test } from "vitest";
import type { Device, DrawingEntry } from "@/api/types";
import { type Places, waitWords, waitWordsOf } from "./wait";

const cpu = { id: "cpu", name: "Test CPU" } as Device;
const card = (number: number) => ({ id: `GPU-${number}`, name: `Card ${number}` }) as Device;

function places(changes: Partial<Places> = {}): Places {
  return { devices: [cpu], holders: [], paused: [], isWorkerAlive: true, ...changes };
}

test("a free device starts at once, unless something comes first", () => {
  expect(waitWords(places(), "any", 0)).toBe("Starts now.");
  expect(waitWords(places(), "any", 2)).toBe("Behind 2 jobs in the queue.");
});

test("it says who holds the device", () => {
  const held = places({ holders: [{ name: "ink", device: "cpu" }] });
  expect(waitWords(held, "any", 0)).toBe("Waits until ink on the CPU ends.");
  expect(waitWords(held, "cpu", 1)).toBe(
    "Waits until ink on the CPU ends. Behind 1 job in the queue.",
  );
});

test("any device is any card, and a job on the processor stands in nobody's way", () => {
  const devices = [cpu, card(1), card(2)];
  const holders = [
    { name: "ink", device: "GPU-1" },
    { name: "chalk", device: "cpu" },
  ];
  expect(waitWords(places({ devices, holders }), "any", 0)).toBe("Starts now.");
  expect(waitWords(places({ devices, holders }), "GPU-1", 0)).toBe(
    "Waits until ink on Card 1 ends.",
  );
  const full = [...holders, { name: "oil", device: "GPU-2" }];
  expect(waitWords(places({ devices, holders: full }), "any", 0)).toBe(
    "Waits until ink on Card 1 or oil on Card 2 ends.",
  );
});

test("pauses and an absent worker come before all else", () => {
  expect(waitWords(places({ paused: ["all"] }), "any", 0)).toBe("Waits: the queue is paused.");
  expect(waitWords(places({ paused: ["cpu"] }), "any", 0)).toBe("Waits: the queue is paused.");
  expect(waitWords(places({ isWorkerAlive: false, paused: ["all"] }), "any", 0)).toBe(
    "Waits until the worker is back.",
  );
});

test("a free card that is too small is named, and is no reason to say that it starts", () => {
  const here = places({ devices: [cpu, card(1), card(2)] });
  const waits: Pick<DrawingEntry, "waits_for" | "too_small_devices"> = {
    waits_for: "larger_device",
    too_small_devices: ["GPU-1"],
  };
  const drawing = waits as DrawingEntry;
  expect(waitWordsOf(drawing, "any", here)).toBe(
    "Waits for a larger GPU than Card 1, whose memory it does not fit.",
  );
});
