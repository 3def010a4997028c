import { Button, NativeSelect } from "@mantine/core";
import { useMediaQuery } from "@mantine/hooks";
import { type ReactNode, useId, useState } from "react";
import { api } from "@/api/client";
import type { DevicePlan, JobPlan } from "@/api/types";
import { Icon } from "@/components/ui/icons";
import { deviceName } from "@/lib/device-name";
import { formatBytes, formatDuration, formatGib, formatStepTime } from "@/lib/format";
import { type Answer, useAnswer } from "@/lib/use-answer";
import { words } from "@/messages/job-form";
import { CARD_SIZES_GB, type FormAid, GIB } from "./form-aid";
import { PhaseBars } from "./phase-bars";
import classes from "./plan-panel.module.css";

const HERE = "here";
const NARROW = "(max-width: 84em)";

interface PlanPanelProps {
  aid: FormAid;
  /** Of the machine here, for a card that is not; null while it is not known. */
  ramBytes: number | null;
}

/** What the job takes of a card, phase by phase, while it is filled in; and for how long. */
export function PlanPanel({ aid, ramBytes }: PlanPanelProps) {
  const titleId = useId();
  // Where the panel stands above the form, its verdict is enough until somebody asks for more.
  const [open] = useState(!useMediaQuery(NARROW, undefined, { getInitialValueInEffect: false }));
  const [where, setWhere] = useState(HERE);
  const { config } = aid;
  const size = where.startsWith("size:") ? Number(where.slice("size:".length)) : null;
  const machine =
    size === null || ramBytes === null ? null : { vram_bytes: size * GIB, ram_bytes: ramBytes };
  const key = JSON.stringify([config, machine]);
  const answer = useAnswer(key, (signal) => api.plan(config, machine, signal));
  const devices = answer.data?.devices ?? [];
  const plan = devices.find(({ device }) => device === where) ?? devices[0] ?? null;

  return (
    <section
      className={classes.panel}
      aria-labelledby={titleId}
      aria-busy={answer.state === "asking"}
    >
      <details open={open}>
        <summary className={classes.summary}>
          <h2 id={titleId} className={classes.title}>
            {words.plan.title}
          </h2>
          <Verdict answer={answer} plan={plan} devices={devices} asIf={size} />
          <span className={classes.chevron}>
            <Icon name="chevron" />
          </span>
        </summary>
        <NativeSelect
          size="xs"
          className={classes.device}
          aria-label={words.plan.device}
          value={where}
          onChange={(event) => setWhere(event.currentTarget.value)}
          data={choices(answer.data, where, ramBytes !== null)}
        />
        {plan !== null && <Details plan={plan} asIf={size !== null} onApply={aid.onApply} />}
      </details>
    </section>
  );
}

/** The devices here, and cards that might be. */
function choices(plan: JobPlan | null, where: string, canAssume: boolean) {
  const here = (plan?.devices ?? []).filter(({ device }) => device !== "given");
  const named = here.map((device, place) => ({
    value: place === 0 ? HERE : device.device,
    label: words.plan.here(
      nameAmong(here, device),
      formatGib(device.vram_bytes ?? device.ram_bytes),
    ),
  }));
  const first = here.length === 0 ? [{ value: HERE, label: words.presets.cardFound }] : named;
  const sizes = canAssume
    ? CARD_SIZES_GB.map((gb) => ({ value: `size:${gb}`, label: words.plan.asIf(gb) }))
    : [];
  const all = [...first, ...sizes];
  return all.some(({ value }) => value === where) ? all : [...all, where];
}

function nameAmong(devices: DevicePlan[], plan: DevicePlan): string {
  return deviceName(
    { id: plan.device, name: plan.name },
    devices.map(({ device, name }) => ({ id: device, name })),
  );
}

interface VerdictProps {
  answer: Answer<JobPlan>;
  plan: DevicePlan | null;
  /** All that were planned for; two may have one name. */
  devices: DevicePlan[];
  asIf: number | null;
}

function Verdict({ answer, plan, devices, asIf }: VerdictProps) {
  if (plan === null || ["refused", "away", "failed"].includes(answer.state)) {
    const { away, failed, waiting, checking, noDevice } = words.plan;
    const said = { away, failed, refused: waiting, asking: checking, there: noDevice }[
      answer.state
    ];
    return (
      <span className={classes.verdict} data-tone="soft" role="status">
        {said}
      </span>
    );
  }
  const onCard = plan.vram_bytes !== null;
  const total = plan.vram_bytes ?? plan.ram_bytes;
  const used = Math.max(
    ...plan.phases.map((phase) => (onCard ? phase.vram_bytes : phase.ram_bytes)),
  );
  const name = asIf === null ? nameAmong(devices, plan) : words.plan.cardOf(asIf);
  const fits = plan.fits && plan.fits_the_disk;
  return (
    <span className={classes.verdict} data-tone={fits ? "good" : "bad"} role="status">
      <Icon name={fits ? "check" : "failed"} size={16} />
      <span>
        {verdictOn(plan, name)}
        <span className={classes.figures}>
          {words.plan.ofCard(formatGib(used), formatGib(total))}
        </span>
      </span>
    </span>
  );
}

function verdictOn(plan: DevicePlan, name: string): string {
  if (!plan.fits) {
    return words.plan.doesNotFit(name);
  }
  return plan.fits_the_disk ? words.plan.fits(name) : words.plan.fitsButTheDisk(name);
}

interface DetailsProps {
  plan: DevicePlan;
  asIf: boolean;
  onApply: FormAid["onApply"];
}

function Details({ plan, asIf, onApply }: DetailsProps) {
  const { transformer_offload_percent: streamed, text_encoder_offload_percent: encoder } = plan;
  return (
    <div className={classes.details}>
      {worstOfEach(plan.shortfalls).map((short) => (
        <p
          key={`${short.missing} ${short.phase} ${short.folder}`}
          className={classes.shortfall}
          data-missing={short.missing}
        >
          {short.message}
        </p>
      ))}
      {!plan.fits && <Changes plan={plan} onApply={onApply} />}
      {!plan.fits_the_disk && <DiskChanges plan={plan} onApply={onApply} />}
      <PhaseBars plan={plan} />
      {streamed + encoder > 0 && (
        <p className={classes.note}>
          {words.plan.offload(Math.round(streamed), Math.round(encoder))}
        </p>
      )}
      <Disk plan={plan} />
      <Time plan={plan} asIf={asIf} />
    </div>
  );
}

/** For each kind of memory the phase that lacks the most; the bars show the others. */
function worstOfEach(shortfalls: DevicePlan["shortfalls"]) {
  return shortfalls.filter(
    (short) =>
      short.missing === "disk" ||
      shortfalls.every(
        (other) => other.missing !== short.missing || other.needed_bytes <= short.needed_bytes,
      ),
  );
}

function Changes({ plan, onApply }: Pick<DetailsProps, "plan" | "onApply">) {
  if (plan.changes.length === 0) {
    return <p className={classes.note}>{words.plan.noChange}</p>;
  }
  return (
    <ul className={classes.changes} aria-label={words.plan.changes}>
      {plan.changes.map((change) => (
        <ChangeRow key={change.label} change={change} onApply={onApply}>
          <span className={classes.figures}>
            {plan.vram_bytes === null
              ? words.plan.afterRam(formatGib(change.ram_bytes))
              : words.plan.after(formatGib(change.vram_bytes), formatGib(change.ram_bytes))}
          </span>
        </ChangeRow>
      ))}
    </ul>
  );
}

/** Memory is not what they change: no figures of it. */
function DiskChanges({ plan, onApply }: Pick<DetailsProps, "plan" | "onApply">) {
  if (plan.disk_changes.length === 0) {
    return <p className={classes.note}>{words.plan.noDiskChange}</p>;
  }
  return (
    <ul className={classes.changes} aria-label={words.plan.diskChanges}>
      {plan.disk_changes.map((change) => (
        <ChangeRow key={change.label} change={change} onApply={onApply} />
      ))}
    </ul>
  );
}

interface ChangeRowProps extends Pick<DetailsProps, "onApply"> {
  change: DevicePlan["changes"][number];
  /** What the changed job takes. */
  children?: ReactNode;
}

function ChangeRow({ change, onApply, children }: ChangeRowProps) {
  return (
    <li>
      <span>
        {words.plan.change(change.label)}
        {children}
      </span>
      <Button
        variant="default"
        size="compact-sm"
        aria-label={words.plan.applyLabel(change.label)}
        onClick={() => void onApply(words.plan.change(change.label), change.settings)}
      >
        {words.plan.apply}
      </Button>
    </li>
  );
}

function Disk({ plan }: { plan: DevicePlan }) {
  const total = plan.disk.reduce((sum, part) => sum + part.num_bytes, 0);
  return (
    <details className={classes.parts}>
      <summary>
        <span>{words.plan.disk}</span>
        <span className={classes.number}>{formatBytes(total)}</span>
      </summary>
      <dl>
        {plan.disk.map((part) => (
          <div key={`${part.folder} ${part.key}`}>
            <dt>{part.label}</dt>
            <dd>{formatBytes(part.num_bytes)}</dd>
          </div>
        ))}
      </dl>
    </details>
  );
}

function Time({ plan, asIf }: Pick<DetailsProps, "plan" | "asIf">) {
  const { time } = plan;
  if (time === null) {
    return <p className={classes.note}>{asIf ? words.plan.timeAsIf : words.plan.timeUnknown}</p>;
  }
  return (
    <p className={classes.note}>
      <strong>{words.plan.time(formatDuration(time.seconds))}</strong>{" "}
      {words.plan.timeFrom(formatStepTime(time.step_seconds), time.num_jobs)}
      {time.sampling_seconds === null && ` ${words.plan.timeWithoutSamples}`}
    </p>
  );
}
