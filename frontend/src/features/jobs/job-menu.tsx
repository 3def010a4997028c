import { ActionIcon, Menu } from "@mantine/core";
import { Suspense, useState } from "react";
import { Link } from "wouter";
import type { JobSummary } from "@/api/types";
import { Icon } from "@/components/ui/icons";
import { lazyPart } from "@/components/ui/lazy-part";
import { EDITABLE } from "@/lib/job-states";
import { paths } from "@/lib/paths";
import { text } from "@/messages";
import { DeleteDialog } from "./delete-dialog";
import { useOrderStep } from "./order-handle";
import type { JobActions } from "./use-job-actions";
import type { Step } from "./waiting-order";

// The choice of another job needs more than a queue that is only looked at.
const ScheduleDialog = lazyPart("schedule-dialog", () => import("./schedule-dialog"));

interface JobMenuProps {
  job: JobSummary;
  actions: JobActions;
  onDeleted?: () => void;
}

/** What is done less often than queueing and stopping. */
export function JobMenu({ job, actions, onDeleted }: JobMenuProps) {
  // A long list has many menus and hardly a dialog: each is there from its first use.
  const [used, setUsed] = useState(false);
  const [deleting, setDeleting] = useState(false);
  const [scheduling, setScheduling] = useState<"never" | "closed" | "open">("never");
  return (
    <>
      {/* Without the placeholder the first entry takes the focus, as in any menu of a desktop. */}
      <Menu
        position="bottom-end"
        width={220}
        withInitialFocusPlaceholder={false}
        onOpen={() => setUsed(true)}
      >
        <Menu.Target>
          <ActionIcon
            variant="subtle"
            color="gray"
            size={36}
            aria-label={text.actions.more(job.training_name || text.job.unnamed)}
          >
            <Icon name="more" />
          </ActionIcon>
        </Menu.Target>
        <Menu.Dropdown>
          {job.status === "queued" && (
            <>
              <OrderItems job={job} />
              <Menu.Item
                leftSection={<Icon name="clock" size={16} />}
                onClick={() => setScheduling("open")}
              >
                {text.schedule.open}
              </Menu.Item>
              <Menu.Divider />
            </>
          )}
          {EDITABLE.has(job.status) && (
            <Menu.Item
              component={Link}
              href={paths.editJob(job.id)}
              leftSection={<Icon name="edit" size={16} />}
            >
              {text.actions.edit}
            </Menu.Item>
          )}
          <Menu.Item
            component={Link}
            href={paths.cloneOf(job.id)}
            leftSection={<Icon name="copy" size={16} />}
          >
            {text.actions.clone}
          </Menu.Item>
          <Menu.Item
            component={Link}
            href={paths.compare(job.id)}
            leftSection={<Icon name="compare" size={16} />}
          >
            {text.actions.compare}
          </Menu.Item>
          <Menu.Item
            color="var(--bad)"
            leftSection={<Icon name="trash" size={16} />}
            onClick={() => setDeleting(true)}
          >
            {text.actions.delete}
          </Menu.Item>
        </Menu.Dropdown>
      </Menu>
      {used && (
        <DeleteDialog
          jobs={[job]}
          opened={deleting}
          onClose={() => setDeleting(false)}
          onDelete={(files) => {
            actions.remove.mutate({ job, files }, { onSuccess: () => onDeleted?.() });
          }}
        />
      )}
      {scheduling !== "never" && (
        <Suspense fallback={null}>
          <ScheduleDialog
            job={job}
            opened={scheduling === "open"}
            onClose={() => setScheduling("closed")}
            onSave={(change) => actions.place.mutate({ job, change })}
          />
        </Suspense>
      )}
    </>
  );
}

const steps: Step[] = ["up", "down", "top", "bottom"];

/** The handle's keys as words; only in a list that has an order. */
function OrderItems({ job }: { job: JobSummary }) {
  const step = useOrderStep();
  if (step === null) {
    return null;
  }
  return (
    <>
      {steps.map((wanted) => (
        <Menu.Item key={wanted} onClick={() => step(job, wanted)}>
          {text.order[wanted]}
        </Menu.Item>
      ))}
      <Menu.Divider />
    </>
  );
}
