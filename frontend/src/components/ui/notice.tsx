import type { ReactNode } from "react";
import { Icon, type IconName } from "./icons";
import classes from "./notice.module.css";

type Tone = "info" | "warn" | "bad" | "good";

const icons: Record<Tone, IconName> = {
  info: "info",
  warn: "failed",
  bad: "failed",
  good: "check",
};

interface NoticeProps {
  tone: Tone;
  title?: string;
  action?: ReactNode;
  children?: ReactNode;
  /** `alert` interrupts a screen reader, `status` waits for a pause, none is only read in place. */
  role?: "alert" | "status";
}

export function Notice({ tone, title, action, children, role }: NoticeProps) {
  return (
    <div className={classes.notice} data-tone={tone} role={role}>
      <span className={classes.icon}>
        <Icon name={icons[tone]} size={20} />
      </span>
      <div className={classes.body}>
        {title !== undefined && <p className={classes.title}>{title}</p>}
        {children !== undefined && <div className={classes.text}>{children}</div>}
      </div>
      {action !== undefined && <div className={classes.action}>{action}</div>}
    </div>
  );
}
