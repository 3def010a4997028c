import { Button, Group } from "@mantine/core";
import { useState } from "react";
import type { TrashEntry } from "@/api/types";
import { Dialog } from "@/components/ui/dialog";
import { Empty } from "@/components/ui/empty";
import { Icon } from "@/components/ui/icons";
import { Panel } from "@/components/ui/panel";
import { formatAgo, formatBytes, formatCount, formatMoment, joinFacts } from "@/lib/format";
import { text } from "@/messages";
import classes from "./trash-panel.module.css";
import { useTrash } from "./use-trash";

/** Deleted jobs, checkpoints and pictures, the latest first: back again, or away for good. */
export function TrashPanel({ entries }: { entries: TrashEntry[] }) {
  const { restore, purge, empty } = useTrash();
  const [asked, setAsked] = useState<TrashEntry | "all" | null>(null);
  const size = formatBytes(entries.reduce((sum, entry) => sum + entry.size_bytes, 0));

  return (
    <Panel
      title={text.trash.list}
      aside={
        entries.length > 0 && (
          <>
            <span>{text.trash.total(entries.length, size)}</span>
            <Button
              size="xs"
              variant="default"
              loading={empty.isPending}
              leftSection={<Icon name="trash" size={15} />}
              onClick={() => setAsked("all")}
            >
              {text.trash.empty}
            </Button>
          </>
        )
      }
    >
      {entries.length === 0 ? (
        <Empty icon="trash" title={text.trash.emptyTitle}>
          {text.trash.emptyBody}
        </Empty>
      ) : (
        <ul className={classes.list}>
          {entries.map((entry) => (
            <li key={entry.id} className={classes.entry}>
              <div className={classes.main}>
                <p className={classes.name}>{entry.training_name || text.job.unnamed}</p>
                <p className={classes.facts}>{joinFacts(factsOf(entry))}</p>
              </div>
              <div className={classes.actions}>
                <Button
                  size="xs"
                  variant="default"
                  leftSection={<Icon name="refresh" size={15} />}
                  loading={restore.isPending && restore.variables.id === entry.id}
                  aria-label={text.trash.restoreOf(wholeName(entry))}
                  onClick={() => restore.mutate(entry)}
                >
                  {text.trash.restore}
                </Button>
                <Button
                  size="xs"
                  variant="subtle"
                  color="gray"
                  loading={purge.isPending && purge.variables.id === entry.id}
                  aria-label={text.trash.purgeOf(wholeName(entry))}
                  onClick={() => setAsked(entry)}
                >
                  {text.trash.purge}
                </Button>
              </div>
            </li>
          ))}
        </ul>
      )}
      <PurgeDialog
        asked={asked}
        entries={entries}
        onClose={() => setAsked(null)}
        onPurge={(what) => (what === "all" ? empty.mutate() : purge.mutate(what))}
      />
    </Panel>
  );
}

interface PurgeDialogProps {
  asked: TrashEntry | "all" | null;
  entries: TrashEntry[];
  onClose: () => void;
  onPurge: (what: TrashEntry | "all") => void;
}

/** The one question that has no undo behind it. */
function PurgeDialog({ asked, entries, onClose, onPurge }: PurgeDialogProps) {
  // While it closes it goes on saying what it asked.
  const [last, setLast] = useState<TrashEntry | "all">("all");
  if (asked !== null && asked !== last) {
    setLast(asked);
  }
  const concerned = last === "all" ? entries : [last];
  const size = formatBytes(concerned.reduce((sum, entry) => sum + entry.size_bytes, 0));
  return (
    <Dialog
      opened={asked !== null}
      onClose={onClose}
      title={
        last === "all"
          ? text.trash.emptyAllTitle(entries.length)
          : text.trash.purgeTitle(wholeName(last))
      }
    >
      <p style={{ margin: 0 }}>{text.trash.purgeBody(size)}</p>
      <Group justify="flex-end" mt="lg">
        <Button variant="default" onClick={onClose} data-autofocus>
          {text.trash.cancel}
        </Button>
        <Button
          color="red.8"
          onClick={() => {
            onPurge(last);
            onClose();
          }}
        >
          {last === "all" ? text.trash.empty : text.trash.purge}
        </Button>
      </Group>
    </Dialog>
  );
}

function kindOf(entry: TrashEntry): string {
  if (entry.kind === "job") {
    return text.trash.job;
  }
  if (entry.kind === "picture") {
    return text.trash.picture(formatCount(entry.step), entry.prompt ?? "");
  }
  return entry.is_final ? text.trash.final : text.trash.checkpoint(formatCount(entry.step));
}

function wholeName(entry: TrashEntry): string {
  const name = entry.training_name || text.job.unnamed;
  const kind = kindOf(entry);
  return entry.kind === "job" ? name : `${name}, ${kind.charAt(0).toLowerCase()}${kind.slice(1)}`;
}

function factsOf(entry: TrashEntry): string[] {
  return [
    kindOf(entry),
    formatBytes(entry.size_bytes),
    text.trash.deleted(formatAgo(entry.deleted_at)),
    entry.expires_at === null
      ? text.trash.neverExpires
      : text.trash.expires(formatMoment(entry.expires_at)),
  ];
}
