import type { DevicePlan, PlanPhase } from "@/api/types";
import { formatGib } from "@/lib/format";
import { words } from "@/messages/job-form";
import classes from "./plan-panel.module.css";
import { GROUPS, groupOf, stacked } from "./plan-parts";

/** A bar for each phase against what the card has; each opens to what it is made of. */
export function PhaseBars({ plan }: { plan: DevicePlan }) {
  const place = plan.vram_bytes === null ? "ram" : "vram";
  const limit = plan.vram_bytes ?? plan.ram_bytes;
  const widest = Math.max(limit, ...plan.phases.map((phase) => bytesOf(phase, place)));
  return (
    <div>
      <ul className={classes.legend} aria-label={words.plan.legend}>
        {GROUPS.map((group) => (
          <li key={group}>
            <span className={classes.chip} data-group={group} aria-hidden="true" />
            {words.plan.groups[group]}
          </li>
        ))}
      </ul>
      {plan.phases.map((phase) => (
        <Phase key={phase.phase} phase={phase} place={place} limit={limit} widest={widest} />
      ))}
    </div>
  );
}

interface PhaseProps {
  phase: PlanPhase;
  place: "vram" | "ram";
  limit: number;
  widest: number;
}

function Phase({ phase, place, limit, widest }: PhaseProps) {
  const used = bytesOf(phase, place);
  const share = (bytes: number) => `${(100 * bytes) / widest}%`;
  return (
    <details className={classes.phase} data-over={used > limit}>
      <summary>
        <span className={classes.phaseLine}>
          <span>{phase.label}</span>
          <span className={classes.number}>
            {place === "ram"
              ? words.plan.ramOnly(formatGib(phase.ram_bytes))
              : words.plan.phaseFigures(formatGib(phase.vram_bytes), formatGib(phase.ram_bytes))}
            <span className="visually-hidden">
              {words.plan.against(words.plan[place], formatGib(limit))}
            </span>
          </span>
        </span>
        <span className={classes.track} aria-hidden="true">
          {stacked(phase, place).map(({ group, bytes }) => (
            <span
              key={group}
              className={classes.chip}
              data-group={group}
              style={{ width: share(bytes) }}
            />
          ))}
          {widest > limit && <span className={classes.limit} style={{ left: share(limit) }} />}
        </span>
      </summary>
      <table aria-label={words.plan.parts(phase.label)}>
        <thead className="visually-hidden">
          <tr>
            <th scope="col">{words.plan.part}</th>
            <th scope="col">{words.plan.place}</th>
            <th scope="col">{words.plan.size}</th>
          </tr>
        </thead>
        <tbody>
          {phase.parts.map((part) => (
            <tr key={`${part.place} ${part.key}`}>
              <th scope="row">
                <span className={classes.chip} data-group={groupOf(part.key)} aria-hidden="true" />
                {part.label}
              </th>
              <td>{words.plan[part.place]}</td>
              <td>{formatGib(part.num_bytes)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </details>
  );
}

function bytesOf(phase: PlanPhase, place: "vram" | "ram"): number {
  return place === "vram" ? phase.vram_bytes : phase.ram_bytes;
}
