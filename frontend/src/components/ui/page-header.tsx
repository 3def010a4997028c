import { type ReactNode, useEffect, useRef } from "react";
import classes from "./page-header.module.css";
import { setPageTitle } from "./page-title";

interface PageHeaderProps {
  title: string;
  /** Above the title: the way back. */
  before?: ReactNode;
  /** Beside the title: a state. */
  beside?: ReactNode;
  /** Below the title. */
  lead?: ReactNode;
  /** At the right: what can be done. */
  actions?: ReactNode;
}

let pagesShown = 0;

/** A page's one h1. Coming from another page it takes the focus, so that a reader hears it. */
export function PageHeader({ title, before, beside, lead, actions }: PageHeaderProps) {
  const heading = useRef<HTMLHeadingElement>(null);
  useEffect(() => {
    setPageTitle(title);
  }, [title]);
  useEffect(() => {
    pagesShown += 1;
    if (pagesShown > 1 && heading.current !== null) {
      heading.current.focus({ preventScroll: true });
      window.scrollTo(0, 0);
    }
  }, []);
  return (
    <header className={classes.header}>
      <div className={classes.titles}>
        {before}
        <div className={classes.line}>
          <h1 ref={heading} tabIndex={-1} className={classes.title}>
            {title}
          </h1>
          {beside}
        </div>
        {lead !== undefined && <div className={classes.lead}>{lead}</div>}
      </div>
      {actions !== undefined && <div className={classes.actions}>{actions}</div>}
    </header>
  );
}
