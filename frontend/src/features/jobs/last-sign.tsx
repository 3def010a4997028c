import { useEffect, useState } from "react";
import { Stat } from "@/components/ui/stat";
import { formatDuration } from "@/lib/format";
import { text } from "@/messages";

/** A trainer at work speaks more often than that: figures that jump each second say no more. */
const CALM_SECONDS = 5;

/** How long ago the trainer of a run that is alive last said something; counts up while it is silent. */
export function LastSign({ at }: { at: string }) {
  const now = useNow();
  const seconds = (now - Date.parse(at)) / 1000;
  return (
    <Stat label={text.job.lastSign}>
      <span title={text.job.lastSignHelp}>
        {seconds < CALM_SECONDS ? text.time.now : text.time.ago(formatDuration(seconds))}
      </span>
    </Stat>
  );
}

/** Milliseconds since 1970, anew each second. */
function useNow(): number {
  const [, setTicks] = useState(0);
  useEffect(() => {
    const timer = setInterval(() => setTicks((ticks) => ticks + 1), 1000);
    return () => clearInterval(timer);
  }, []);
  return Date.now();
}
