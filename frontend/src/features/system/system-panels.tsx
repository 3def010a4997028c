import { Progress } from "@mantine/core";
import type { ReactNode } from "react";
import type { Device, SystemInfo } from "@/api/types";
import { Panel } from "@/components/ui/panel";
import { deviceName } from "@/lib/device-name";
import { formatAgo, formatBytes, formatGib } from "@/lib/format";
import { text } from "@/messages";
import classes from "./system-panels.module.css";

export function DevicesPanel({ system }: { system: SystemInfo }) {
  return (
    <Panel title={text.system.devices}>
      {system.devices.length === 0 ? (
        <p className={classes.soft}>{text.system.noDevices}</p>
      ) : (
        <ul className={classes.list}>
          {system.devices.map((device) => (
            <DeviceEntry
              key={device.id}
              device={device}
              name={deviceName(device, system.devices)}
            />
          ))}
        </ul>
      )}
    </Panel>
  );
}

function DeviceEntry({ device, name }: { device: Device; name: string }) {
  const used = device.memory_used_bytes;
  const total = device.memory_total_bytes;
  const known = used !== null && total !== null && total > 0;
  return (
    <li className={classes.device}>
      <p className={classes.name}>{name}</p>
      <p className={classes.soft}>
        {known ? text.system.memory(formatGib(used), formatGib(total)) : text.system.memoryUnknown}
      </p>
      {known && (
        <Progress
          mt={6}
          size={6}
          value={(100 * used) / total}
          aria-label={text.system.memoryOf(device.id === "cpu" ? device.name : name)}
        />
      )}
      {device.id !== "cpu" && <code className={classes.id}>{device.id}</code>}
    </li>
  );
}

export function WorkerPanel({ system }: { system: SystemInfo }) {
  const { alive, last_seen_at } = system.worker;
  const inWords = alive ? text.system.workerAlive : text.system.workerAway;
  return (
    <Panel title={text.system.worker}>
      <Facts
        facts={[
          [
            text.system.workerState,
            last_seen_at === null ? text.system.workerNeverSeen : inWords(formatAgo(last_seen_at)),
          ],
          [text.system.version, system.version],
        ]}
      />
    </Panel>
  );
}

export function FoldersPanel({ system }: { system: SystemInfo }) {
  return (
    <Panel
      title={text.system.folders}
      aside={
        system.disk.output_free_bytes !== null &&
        text.system.free(formatBytes(system.disk.output_free_bytes))
      }
    >
      <Facts
        facts={Object.entries(system.folders).map(([key, path]) => [
          text.system.folderNames[key] ?? key,
          <code key={key} className={classes.path}>
            {path}
          </code>,
        ])}
      />
    </Panel>
  );
}

export function AccessPanel({ system }: { system: SystemInfo }) {
  return (
    <Panel title={text.system.access}>
      <Facts
        facts={[
          [
            text.system.thisServer,
            system.token_required ? text.system.tokenRequired : text.system.tokenNotRequired,
          ],
          [
            text.system.hubToken,
            system.hub_token_set ? text.system.hubTokenSet : text.system.hubTokenNotSet,
          ],
        ]}
      />
    </Panel>
  );
}

function Facts({ facts }: { facts: [string, ReactNode][] }) {
  return (
    <dl className={classes.facts}>
      {facts.map(([name, value]) => (
        <div key={name} className={classes.fact}>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}
