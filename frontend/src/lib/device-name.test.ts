import { expect, test } from "vitest";
import { deviceChoices, deviceName } from "./device-name";

const first = { id: "GPU-8f3a2b10-1c2d-4e5f-8091-a2b3c4d5e6f7", name: "Test Card" };
const second = { id: "GPU-04d1e2f3-5a6b-4c7d-8e9f-0a1b2c3d4e5f", name: "Test Card" };
const other = { id: "GPU-77777777-5a6b-4c7d-8e9f-0a1b2c3d4e5f", name: "Small Card" };
const cpu = { id: "cpu", name: "Test CPU" };

test("two cards of one name are told apart by the beginning of their UUIDs", () => {
  const devices = [first, second, other, cpu];
  expect(devices.map((device) => deviceName(device, devices))).toEqual([
    "Test Card (8f3a2b10)",
    "Test Card (04d1e2f3)",
    "Small Card",
    "CPU, Test CPU",
  ]);
});

test("a card whose name no other has is only its name", () => {
  expect(deviceName(first, [first, other, cpu])).toBe("Test Card");
});

test("a job may run on any card, on each of them or on the processor, or keeps one that is gone", () => {
  const labels = (present: string) =>
    deviceChoices([first, other, cpu], present).map(({ label }) => label);
  expect(labels("any")).toEqual(["Any free GPU", "Test Card", "Small Card", "CPU"]);
  expect(labels("GPU-1").at(-1)).toBe("GPU-1 (not in this machine)");
});
