import type { Command } from "@/api/types";
import { Icon, type IconName } from "@/components/ui/icons";
import { ProblemList } from "@/components/ui/problem-list";
import { formatCount, formatMoment } from "@/lib/format";
import { text } from "@/messages";
import classes from "./change-list.module.css";
import { settingAt } from "./running-changes";
import type { PanelModel } from "./setting-model";
import { valueInWords } from "./setting-words";

const icons: Record<Command["outcome"], IconName> = {
  waiting: "clock",
  taken: "check",
  refused: "failed",
  unanswered: "interrupted",
};

interface ChangeListProps {
  commands: Command[];
  panels: PanelModel[];
}

/** What was asked of the trainer, and what it said. */
export function ChangeList({ commands, panels }: ChangeListProps) {
  if (commands.length === 0) {
    return null;
  }
  return (
    <ol className={classes.list} aria-label={text.changes.list}>
      {commands.map((command) => (
        <li key={command.id} className={classes.change} data-outcome={command.outcome}>
          <p className={classes.outcome}>
            <Icon name={icons[command.outcome]} size={16} />
            <span>{outcomeInWords(command)}</span>
            <time className={classes.time} dateTime={command.requested_at}>
              {formatMoment(command.requested_at)}
            </time>
          </p>
          <dl className={classes.settings}>
            {Object.entries(command.settings).map(([path, value]) => {
              const setting = settingAt(panels, path);
              return (
                <div key={path} className={classes.setting}>
                  <dt>{setting?.label ?? path}</dt>
                  <dd>
                    {setting === undefined ? JSON.stringify(value) : valueInWords(setting, value)}
                  </dd>
                </div>
              );
            })}
          </dl>
          {command.problems.length > 0 && (
            <div className={classes.problems}>
              <ProblemList problems={command.problems} />
            </div>
          )}
        </li>
      ))}
    </ol>
  );
}

export function outcomeInWords({ outcome, step }: Command): string {
  switch (outcome) {
    case "taken":
      return text.changes.taken(formatCount(step));
    case "refused":
      return text.changes.refused(formatCount(step));
    case "unanswered":
      return text.changes.unanswered;
    case "waiting":
      return text.changes.waiting;
  }
}
