import type { SystemInfo } from "@/api/types";
import { Icon } from "@/components/ui/icons";
import { deviceName } from "@/lib/device-name";
import { formatBytes, formatGib } from "@/lib/format";
import { text } from "@/messages";
import classes from "./device-line.module.css";

/** What there is to train on, and the room left on the disk. */
export function DeviceLine({ system }: { system: SystemInfo }) {
  return (
    <ul className={classes.line} aria-label={text.system.devices}>
      {system.devices.map((device) => (
        <li key={device.id} className={classes.item}>
          <Icon name="device" size={16} />
          <span>{deviceName(device)}</span>
          {device.memory_total_bytes !== null && device.memory_used_bytes !== null && (
            <span>
              {text.system.memory(
                formatGib(device.memory_used_bytes),
                formatGib(device.memory_total_bytes),
              )}
            </span>
          )}
        </li>
      ))}
      {system.disk.output_free_bytes !== null && (
        <li className={classes.item}>
          <Icon name="save" size={16} />
          <span>{text.system.free(formatBytes(system.disk.output_free_bytes))}</span>
        </li>
      )}
    </ul>
  );
}
