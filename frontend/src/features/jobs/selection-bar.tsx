import { Button, Menu } from "@mantine/core";
import { useState } from "react";
import { type JobLists, sectionNames } from "@/api/job-lists";
import { Icon } from "@/components/ui/icons";
import { text } from "@/messages";
import { DeleteDialog } from "./delete-dialog";
import { useChosenIds, useSelection } from "./selection";
import classes from "./selection-bar.module.css";
import { concerned, type Deed, useBulk } from "./use-bulk";

/** What can be done to the chosen jobs; at the window's foot, while there are any. */
export function SelectionBar({ lists }: { lists: JobLists }) {
  const selection = useSelection();
  const chosen = useChosenIds();
  const { run, progress } = useBulk();
  const [deleting, setDeleting] = useState(false);
  const jobs = sectionNames.flatMap((name) => lists[name].items.filter(({ id }) => chosen.has(id)));
  // What a search hides stays chosen, and nothing is done to it.
  if (jobs.length === 0) {
    return null;
  }
  const count = (kind: Deed["kind"]) => concerned(kind, jobs).length;
  const start = (deed: Deed) => {
    void run(deed, jobs).then((done) =>
      selection.set(
        done.map(({ id }) => id),
        false,
      ),
    );
  };
  const busy = progress !== null;

  return (
    <section className={classes.bar} aria-label={text.selection.bar}>
      <span className={classes.count}>
        {busy
          ? text.selection.progress(progress.done, progress.all)
          : text.selection.count(jobs.length)}
      </span>
      {count("queue") > 0 && (
        <Button
          size="xs"
          disabled={busy}
          leftSection={<Icon name="play" size={15} />}
          onClick={() => start({ kind: "queue" })}
        >
          {text.selection.queue(count("queue"))}
        </Button>
      )}
      {count("stop") > 0 && (
        <Button
          size="xs"
          variant="default"
          disabled={busy}
          leftSection={<Icon name="stop" size={15} />}
          onClick={() => start({ kind: "stop" })}
        >
          {text.selection.stop(count("stop"))}
        </Button>
      )}
      {count("priority") > 0 && (
        <Menu position="top" withInitialFocusPlaceholder={false}>
          <Menu.Target>
            <Button
              size="xs"
              variant="default"
              disabled={busy}
              rightSection={<Icon name="chevron" size={14} />}
            >
              {text.priority.title}
            </Button>
          </Menu.Target>
          <Menu.Dropdown>
            {[1, 0, -1].map((priority) => (
              <Menu.Item key={priority} onClick={() => start({ kind: "priority", priority })}>
                {text.priority.names[priority]}
              </Menu.Item>
            ))}
          </Menu.Dropdown>
        </Menu>
      )}
      {count("delete") > 0 && (
        <Button
          size="xs"
          variant="default"
          disabled={busy}
          leftSection={<Icon name="trash" size={15} />}
          onClick={() => setDeleting(true)}
        >
          {text.selection.delete(count("delete"))}
        </Button>
      )}
      <Button
        size="xs"
        variant="subtle"
        color="gray"
        disabled={busy}
        leftSection={<Icon name="close" size={15} />}
        onClick={() => selection.clear()}
      >
        {text.selection.clear}
      </Button>
      <DeleteDialog
        jobs={concerned("delete", jobs)}
        opened={deleting}
        onClose={() => setDeleting(false)}
        onDelete={(files) => start({ kind: "delete", files })}
      />
    </section>
  );
}
