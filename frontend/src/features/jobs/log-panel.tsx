import { NativeSelect, Switch, TextInput } from "@mantine/core";
import { memo, useEffect, useMemo, useRef, useState } from "react";
import { Empty } from "@/components/ui/empty";
import { Panel } from "@/components/ui/panel";
import { QueryView } from "@/components/ui/query-view";
import { text } from "@/messages";
import { cutAt, type LogLevel, type LogLine, levelled, linesFrom, linesWith } from "./log-lines";
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
        {({ lines, dropped }) =>
          lines.length === 0 ? (
            <Empty icon="draft" title={text.log.empty} />
          ) : (
            <Log lines={lines} dropped={dropped} follow={follow} onFollow={setFollow} />
          )
        }
      </QueryView>
    </Panel>
  );
}

interface LogProps {
  lines: string[];
  /** Earlier ones that are not kept. */
  dropped: number;
  follow: boolean;
  onFollow: (follow: boolean) => void;
}

const LEVELS: LogLevel[] = ["info", "warning", "error"];

function Log({ lines, dropped, follow, onFollow }: LogProps) {
  const [least, setLeast] = useState<LogLevel>("info");
  const [words, setWords] = useState("");
  const all = useMemo(() => levelled(lines, dropped), [lines, dropped]);
  const found = useMemo(
    () => linesWith(least === "info" ? all : linesFrom(all, least), words),
    [all, least, words],
  );
  return (
    <>
      <div className={classes.controls}>
        <NativeSelect
          aria-label={text.log.level}
          size="xs"
          value={least}
          onChange={(event) => setLeast(event.currentTarget.value as LogLevel)}
          data={LEVELS.map((level) => ({ value: level, label: text.log.levels[level] }))}
        />
        <TextInput
          className={classes.search}
          size="xs"
          type="search"
          aria-label={text.log.search}
          placeholder={text.log.search}
          value={words}
          onChange={(event) => setWords(event.currentTarget.value)}
        />
        {found.length < all.length && (
          <span className={classes.count} role="status">
            {text.log.found(found.length, all.length)}
          </span>
        )}
      </div>
      {found.length === 0 ? (
        <Empty icon="info" title={text.log.nothingFound} />
      ) : (
        <Lines lines={found} words={words} follow={follow} onFollow={onFollow} />
      )}
    </>
  );
}

interface LinesProps {
  lines: LogLine[];
  words: string;
  follow: boolean;
  onFollow: (follow: boolean) => void;
}

/** Following ends when somebody scrolls up to read, and begins again at the end. */
function Lines({ lines, words, follow, onFollow }: LinesProps) {
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
      {lines.map(({ place, line, level }) => (
        <Line key={place} line={line} level={level} words={words} />
      ))}
    </pre>
  );
}

interface LineProps {
  line: string;
  level: LogLevel;
  words: string;
}

/** Drawn once: a log of thousands of lines grows by one. */
const Line = memo(function Line({ line, level, words }: LineProps) {
  return (
    <span data-level={level}>
      {cutAt(line, words).map((piece, index) =>
        // biome-ignore lint/suspicious/noArrayIndexKey: pieces have no identity but their place
        index % 2 === 1 ? <mark key={index}>{piece}</mark> : piece,
      )}
      {"\n"}
    </span>
  );
});
