import { Button, NativeSelect, Switch, TextInput } from "@mantine/core";
import { memo, type RefObject, useEffect, useLayoutEffect, useMemo, useRef, useState } from "react";
import { Empty } from "@/components/ui/empty";
import { Icon } from "@/components/ui/icons";
import { Panel } from "@/components/ui/panel";
import { QueryView } from "@/components/ui/query-view";
import { logFile } from "@/lib/archives";
import { formatBytes } from "@/lib/format";
import { text } from "@/messages";
import { cutAt, type LogLevel, type LogLine, levelled, linesFrom, linesWith } from "./log-lines";
import classes from "./log-panel.module.css";
import { bytesBefore, type Log, useEarlierLines, useLog } from "./use-log";

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
  const earlier = useEarlierLines(jobId, run);
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
          {run !== undefined && (
            <Button
              component="a"
              href={logFile(jobId, run)}
              download
              size="xs"
              variant="default"
              leftSection={<Icon name="download" size={15} />}
              aria-label={text.log.downloadLabel}
            >
              {text.log.download}
            </Button>
          )}
        </>
      }
    >
      <QueryView query={log} loading={220}>
        {(known) =>
          known.lines.length === 0 ? (
            <Empty icon="draft" title={text.log.empty} />
          ) : (
            <LogView
              log={known}
              follow={follow}
              onFollow={setFollow}
              onEarlier={() => {
                setFollow(false);
                earlier.mutate(bytesBefore(known));
              }}
              isReading={earlier.isPending}
            />
          )
        }
      </QueryView>
    </Panel>
  );
}

interface LogViewProps {
  log: Log;
  follow: boolean;
  onFollow: (follow: boolean) => void;
  /** Asks for lines before the first. */
  onEarlier: () => void;
  isReading: boolean;
}

const LEVELS: LogLevel[] = ["info", "warning", "error"];

function LogView({ log, follow, onFollow, onEarlier, isReading }: LogViewProps) {
  const [least, setLeast] = useState<LogLevel>("info");
  const [words, setWords] = useState("");
  const all = useMemo(() => levelled(log.lines), [log.lines]);
  const found = useMemo(
    () => linesWith(least === "info" ? all : linesFrom(all, least), words),
    [all, least, words],
  );
  const isWhole = bytesBefore(log) === 0;
  const search = isWhole ? text.log.search : text.log.searchShown;
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
          aria-label={search}
          placeholder={search}
          value={words}
          onChange={(event) => setWords(event.currentTarget.value)}
        />
        {found.length < all.length && (
          <span className={classes.count} role="status">
            {(isWhole ? text.log.found : text.log.foundShown)(found.length, all.length)}
          </span>
        )}
      </div>
      {!isWhole && <Part log={log} onEarlier={onEarlier} isReading={isReading} />}
      {found.length === 0 ? (
        <Empty icon="info" title={text.log.nothingFound} />
      ) : (
        <Lines
          lines={found}
          begin={bytesBefore(log)}
          words={words}
          follow={follow}
          onFollow={onFollow}
        />
      )}
    </>
  );
}

/** How much of the log is shown where it is not all. */
function Part({
  log,
  onEarlier,
  isReading,
}: Pick<LogViewProps, "log" | "onEarlier" | "isReading">) {
  const end = log.next ?? 0;
  const shown = formatBytes(end - bytesBefore(log));
  return (
    <p className={classes.part}>
      {text.log.part(log.lines.length, shown, formatBytes(end))}
      <Button size="compact-sm" variant="default" loading={isReading} onClick={onEarlier}>
        {text.log.earlier}
      </Button>
    </p>
  );
}

interface LinesProps {
  lines: LogLine[];
  /** The byte of the log where what is shown begins. */
  begin: number;
  words: string;
  follow: boolean;
  onFollow: (follow: boolean) => void;
}

/** Following ends when somebody scrolls up to read, and begins again at the end. */
function Lines({ lines, begin, words, follow, onFollow }: LinesProps) {
  const box = useRef<HTMLPreElement>(null);
  // biome-ignore lint/correctness/useExhaustiveDependencies: every new line moves the end
  useEffect(() => {
    const element = box.current;
    if (follow && element !== null) {
      element.scrollTop = element.scrollHeight;
    }
  }, [lines, follow]);
  useEarlierInSight(box, lines, begin);

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
      {lines.map(({ offset, line, level }) => (
        <Line key={offset} line={line} level={level} words={words} />
      ))}
    </pre>
  );
}

/** Lines that came before the first end where the box ends: there somebody reads on upwards. */
function useEarlierInSight(box: RefObject<HTMLPreElement | null>, lines: LogLine[], begin: number) {
  const last = useRef({ begin, height: 0 });
  // biome-ignore lint/correctness/useExhaustiveDependencies: any change of the lines changes the height
  useLayoutEffect(() => {
    const element = box.current;
    if (element === null) {
      return;
    }
    const { scrollHeight, clientHeight } = element;
    if (begin < last.current.begin) {
      element.scrollTop = Math.max(0, scrollHeight - last.current.height - clientHeight);
    }
    last.current = { begin, height: scrollHeight };
  }, [lines, begin]);
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
