import type { Device } from "@/api/types";
import { text } from "@/messages";

type Named = Pick<Device, "id" | "name">;

const SHORT_ID_LENGTH = 8; // of a UUID: its first part

/**
 * A card by its name, and by the beginning of its UUID where another of `devices` has the same name;
 * the processor says what it is besides.
 */
export function deviceName(device: Named, devices: Named[]): string {
  if (device.id === "cpu") {
    return device.name === "cpu" ? device.name : text.system.cpu(device.name);
  }
  const isAlone = devices.every(({ id, name }) => id === device.id || name !== device.name);
  return isAlone ? device.name : text.system.cardOf(device.name, shortId(device.id));
}

/**
 * Where a job may run, as a list offers it; `present` as well where no such device is here. While it
 * is not known what there is, `devices` is null and nothing is missing.
 */
export function deviceChoices(
  devices: Named[] | null,
  present: string,
): { value: string; label: string }[] {
  const known = devices ?? [];
  const offered = [
    { value: "any", label: text.form.deviceAny },
    ...known
      .filter(({ id }) => id !== "cpu")
      .map((device) => ({ value: device.id, label: deviceName(device, known) })),
    { value: "cpu", label: text.form.deviceCpu },
  ];
  if (offered.some(({ value }) => value === present)) {
    return offered;
  }
  const label = devices === null ? present : text.form.deviceMissing(present);
  return [...offered, { value: present, label }];
}

/** The names of devices by their ids; one that is there no more has none. */
export function namesOf(ids: string[], devices: Named[]): string[] {
  return devices.filter(({ id }) => ids.includes(id)).map((one) => deviceName(one, devices));
}

function shortId(id: string): string {
  return id.replace(/^(GPU|MIG)-/, "").slice(0, SHORT_ID_LENGTH);
}
