import { ActionIcon, Menu } from "@mantine/core";
import { useState } from "react";
import { Link } from "wouter";
import type { JobSummary } from "@/api/types";
import { Icon } from "@/components/ui/icons";
import { EDITABLE } from "@/lib/job-states";
import { paths } from "@/lib/paths";
import { text } from "@/messages";
import { DeleteDialog } from "./delete-dialog";
import type { JobActions } from "./use-job-actions";

interface JobMenuProps {
  job: JobSummary;
  actions: JobActions;
  onDeleted?: () => void;
}

/** What is done less often than queueing and stopping. */
export function JobMenu({ job, actions, onDeleted }: JobMenuProps) {
  // A long list has many menus and hardly a dialog: it is there from the first use of the menu.
  const [used, setUsed] = useState(false);
  const [deleting, setDeleting] = useState(false);
  return (
    <>
      {/* Without the placeholder the first entry takes the focus, as in any menu of a desktop. */}
      <Menu
        position="bottom-end"
        width={180}
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
          job={job}
          opened={deleting}
          onClose={() => setDeleting(false)}
          onDelete={(files) => {
            actions.remove.mutate({ job, files }, { onSuccess: () => onDeleted?.() });
          }}
        />
      )}
    </>
  );
}
