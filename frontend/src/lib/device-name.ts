import type { Device } from "@/api/types";
import { text } from "@/messages";

/** A card by its name; the processor says what it is besides. */
export function deviceName(device: Device): string {
  return device.id === "cpu" && device.name !== "cpu" ? text.system.cpu(device.name) : device.name;
}
