import { NativeSelect, Switch } from "@mantine/core";
import { useEffect, useRef, useState } from "react";
import { Empty } from "@/components/ui/empty";
import { Panel } from "@/components/ui/panel";
import { QueryView } from "@/components/ui/query-view";
import { text } from "@/messages";
import classes from "./log-panel.module.css";
import { useLog } from "./use-log";

interface LogPanelProps {
  jobId: number;
  /** Numbers of the job's runs, oldest first. */
  runs: number[];
}

export function LogPanel({ jobId, runs }: LogPanelProps) {
  const [chosenRun, setChosenRun] = useState<number | null>(null);
  const [follow, setFollow] = useState(true);
  const run = chosenRun ?? runs[runs.length - 1];
  const log = useLog(jobId, run);
  return (
    <Panel
      title={text.log.title}
      aside={
        <>
          {runs.length > 1 && (
            <NativeSelect
              aria-label={text.log.run}
              size="xs"
              value={String(run)}
              onChange={(event) => setChosenRun(Number(event.currentTarget.value))}
              data={runs.map((number) => ({
                value: String(number),
                label: text.runs.number(number),
              }))}
            />
          )}
          <Switch
            label={text.log.follow}
            checked={follow}
            onChange={(event) => setFollow(event.currentTarget.checked)}
          />
        </>
      }
    >
      <QueryView query={log} loading={220}>
        {({ lines }) =>
          lines.length === 0 ? (
            <Empty icon="draft" title={text.log.empty} />
          ) : (
            <Lines lines={lines} follow={follow} onFollow={setFollow} />
          )
        }
      </QueryView>
    </Panel>
  );
}

interface LinesProps {
  lines: string[];
  follow: boolean;
  onFollow: (follow: boolean) => void;
}

/** Following ends when somebody scrolls up to read, and begins again at the end. */
function Lines({ lines, follow, onFollow }: LinesProps) {
  const box = useRef<HTMLPreElement>(null);
  // biome-ignore lint/correctness/useExhaustiveDependencies: every new line moves the end
  useEffect(() => {
    const element = box.current;
    if (follow && element !== null) {
      element.scrollTop = element.scrollHeight;
    }
  }, [lines, follow]);

  return (
    <pre
      ref={box}
      className={classes.lines}
      role="log"
      aria-live="off"
      aria-label={text.log.region}
      // biome-ignore lint/a11y/noNoninteractiveTabindex: a region that scrolls must take the focus
      tabIndex={0}
      onScroll={(event) => {
        const { scrollTop, scrollHeight, clientHeight } = event.currentTarget;
        const atEnd = scrollHeight - scrollTop - clientHeight < 24;
        if (atEnd !== follow) {
          onFollow(atEnd);
        }
      }}
    >
      {lines.join("\n")}
    </pre>
  );
}
