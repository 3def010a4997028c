import type { ReactNode } from "react";
import classes from "./empty.module.css";
import { Icon, type IconName } from "./icons";

interface EmptyProps {
  icon: IconName;
  title: string;
  children?: ReactNode;
}

/** Nothing is here yet, and why. */
export function Empty({ icon, title, children }: EmptyProps) {
  return (
    <div className={classes.empty}>
      <Icon name={icon} size={26} />
      <p className={classes.title}>{title}</p>
      {children !== undefined && <p className={classes.text}>{children}</p>}
    </div>
  );
}
