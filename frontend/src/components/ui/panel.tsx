import type { ReactNode } from "react";
import { useId } from "react";
import { ErrorBoundary } from "./error-boundary";
import classes from "./panel.module.css";

interface PanelProps {
  title: string;
  /** Stands at the right of the title: a count, a switch, a menu. */
  aside?: ReactNode;
  children: ReactNode;
  tone?: "plain" | "bad";
}

/** A titled part of a page; what breaks in it stays in it. */
export function Panel({ title, aside, children, tone = "plain" }: PanelProps) {
  const titleId = useId();
  return (
    <section className={classes.panel} aria-labelledby={titleId} data-tone={tone}>
      <header className={classes.header}>
        <h2 id={titleId} className={classes.title}>
          {title}
        </h2>
        {aside !== undefined && <div className={classes.aside}>{aside}</div>}
      </header>
      <ErrorBoundary>{children}</ErrorBoundary>
    </section>
  );
}
