import { ActionIcon } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { loadQuery, queueQuery } from "@/api/queries";
import type { Device, LoadHistory, SystemInfo } from "@/api/types";
import { Icon } from "@/components/ui/icons";
import { deviceName } from "@/lib/device-name";
import { formatBytes, formatGib } from "@/lib/format";
import { text } from "@/messages";
import classes from "./device-cards.module.css";
import { LoadChart } from "./load-chart";
import { usePause, WHOLE_QUEUE } from "./use-pause";

/** What there is to train on: how busy, how full, how warm, now and over the last minutes. */
export function DeviceCards({ system }: { system: SystemInfo }) {
  const load = useQuery(loadQuery).data;
  const paused = useQuery(queueQuery).data?.paused ?? [];
  return (
    <ul className={classes.cards} aria-label={text.load.title}>
      {system.devices.map((device) => (
        <li key={device.id} className={classes.card}>
          <DeviceCard
            device={device}
            system={system}
            load={load}
            isPaused={paused.includes(device.id) || paused.includes(WHOLE_QUEUE)}
            canBePaused={system.devices.length > 1 && !paused.includes(WHOLE_QUEUE)}
          />
        </li>
      ))}
    </ul>
  );
}

interface DeviceCardProps {
  device: Device;
  system: SystemInfo;
  load: LoadHistory | undefined;
  isPaused: boolean;
  canBePaused: boolean;
}

function DeviceCard({ device, system, load, isPaused, canBePaused }: DeviceCardProps) {
  const samples = load?.items ?? [];
  const newest = samples.at(-1);
  // The newest sample says more than the page's first answer; of a worker that is away, nothing.
  const now = newest?.devices.find(({ id }) => id === device.id) ?? (newest ? null : device);
  const total = device.memory_total_bytes;
  const isHost = device.id === "cpu";
  const name = deviceName(device, system.devices);
  const free = newest?.disk_free_bytes ?? system.disk.output_free_bytes;
  return (
    <>
      <div className={classes.head}>
        <Icon name="device" size={16} />
        <span className={classes.name}>{name}</span>
        {isPaused && <span className={classes.paused}>{text.pause.devicePaused}</span>}
        {canBePaused && <PauseDevice id={device.id} name={name} isPaused={isPaused} />}
      </div>
      <dl className={classes.figures}>
        <Figure label={text.load.busy} value={percent(now?.utilization_percent)} />
        {total !== null && (
          <Figure
            label={text.load.memory}
            value={text.load.memoryOf(formatGib(now?.memory_used_bytes), formatGib(total))}
          />
        )}
        {typeof now?.temperature_celsius === "number" && (
          <Figure
            label={text.load.temperature}
            value={text.load.celsius(now.temperature_celsius)}
          />
        )}
        {typeof now?.power_watts === "number" && (
          <Figure
            label={text.load.power}
            value={text.load.watts(now.power_watts, device.power_limit_watts ?? null)}
          />
        )}
        {isHost && free !== null && (
          <Figure label={text.load.disk} value={text.load.diskFree(formatBytes(free))} />
        )}
        {isHost && system.memory.swap_used_bytes > 0 && (
          <Figure label={text.load.swap} value={formatGib(system.memory.swap_used_bytes)} />
        )}
      </dl>
      {total !== null && load !== undefined && (
        <LoadChart
          name={isHost ? device.name : name}
          device={device.id}
          totalBytes={total}
          samples={samples}
          intervalSeconds={load.interval_seconds}
        />
      )}
    </>
  );
}

function Figure({ label, value }: { label: string; value: string }) {
  return (
    <div>
      <dt>{label}</dt>
      <dd>{value}</dd>
    </div>
  );
}

interface PauseDeviceProps {
  id: string;
  name: string;
  isPaused: boolean;
}

function PauseDevice({ id, name, isPaused }: PauseDeviceProps) {
  const { mutate, isPending } = usePause();
  return (
    <ActionIcon
      variant="subtle"
      color="gray"
      size={32}
      loading={isPending}
      aria-label={isPaused ? text.pause.resumeDevice(name) : text.pause.device(name)}
      onClick={() => mutate({ device: id, paused: !isPaused })}
    >
      <Icon name={isPaused ? "play" : "pause"} size={16} />
    </ActionIcon>
  );
}

function percent(share: number | null | undefined): string {
  return share === null || share === undefined ? text.time.unknown : text.load.percent(share);
}
