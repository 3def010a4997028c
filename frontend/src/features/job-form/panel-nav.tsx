import { useEffect, useState } from "react";
import { text } from "@/messages";
import { type FieldProblem, problemsAt } from "./field-problems";
import classes from "./panel-nav.module.css";
import { panelId } from "./panel-section";
import type { PanelModel } from "./setting-model";

interface PanelNavProps {
  panels: PanelModel[];
  problems: FieldProblem[];
  /** Another way to a panel, where panels are not drawn; null follows the link. */
  onGo: ((key: string) => void) | null;
}

/** The ten panels by name, the one in sight marked, each with the number of its problems. */
export function PanelNav({ panels, problems, onGo }: PanelNavProps) {
  const current = usePanelInSight(panels);
  return (
    <nav className={classes.nav} aria-label={text.form.panels}>
      <ol className={classes.list}>
        {panels.map(({ key, title }) => {
          const errors = problemsAt(problems, key).filter(
            ({ severity }) => severity === "error",
          ).length;
          return (
            <li key={key}>
              <a
                href={`#${panelId(key)}`}
                onClick={(event) => {
                  if (onGo !== null) {
                    event.preventDefault();
                    onGo(key);
                  }
                }}
                className={classes.link}
                aria-current={current === key ? "location" : undefined}
              >
                {title}
                {errors > 0 && (
                  <span className={classes.badge}>
                    {errors}
                    <span className="visually-hidden"> {text.form.problemsWord(errors)}</span>
                  </span>
                )}
              </a>
            </li>
          );
        })}
      </ol>
    </nav>
  );
}

/** The panel that crosses the upper third of the window. */
function usePanelInSight(panels: PanelModel[]): string | null {
  const [current, setCurrent] = useState<string | null>(panels[0]?.key ?? null);
  useEffect(() => {
    const observer = new IntersectionObserver(
      (entries) => {
        for (const entry of entries) {
          if (entry.isIntersecting) {
            setCurrent(entry.target.id.replace(panelId(""), ""));
          }
        }
      },
      { rootMargin: "-25% 0px -70% 0px" },
    );
    for (const { key } of panels) {
      const section = document.getElementById(panelId(key));
      if (section !== null) {
        observer.observe(section);
      }
    }
    return () => observer.disconnect();
  }, [panels]);
  return current;
}
