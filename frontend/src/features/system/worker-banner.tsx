import type { SystemInfo } from "@/api/types";
import { Notice } from "@/components/ui/notice";
import { formatAgo } from "@/lib/format";
import { text } from "@/messages";

/** Without a worker nothing starts, and a queue that stands still must say why. */
export function WorkerBanner({ system }: { system: SystemInfo }) {
  if (system.worker.alive) {
    return null;
  }
  const seen = system.worker.last_seen_at;
  return (
    <Notice tone="warn" role="status" title={text.queue.workerAwayTitle}>
      {text.queue.workerAway(seen === null ? null : formatAgo(seen))}
    </Notice>
  );
}
