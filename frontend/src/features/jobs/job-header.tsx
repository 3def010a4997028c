import { Button } from "@mantine/core";
import { useState } from "react";
import { Link, useLocation } from "wouter";
import type { Job } from "@/api/types";
import { Icon } from "@/components/ui/icons";
import { PageHeader } from "@/components/ui/page-header";
import { StatusPill } from "@/components/ui/status-pill";
import { EDITABLE, QUEUEABLE } from "@/lib/job-states";
import { paths } from "@/lib/paths";
import { text } from "@/messages";
import { JobFigures } from "./job-figures";
import classes from "./job-header.module.css";
import { JobMenu } from "./job-menu";
import { LastSign } from "./last-sign";
import { MainAction } from "./main-action";
import { PhaseLine } from "./phase-line";
import { ResumeDialog } from "./resume-dialog";
import { useJobActions } from "./use-job-actions";
import { WaitWords } from "./wait-words";

interface JobHeaderProps {
  job: Job;
  /** Opens what may change while it runs. */
  onChange: () => void;
}

/** Name, state, what can be done, and how far it is. */
export function JobHeader({ job, onChange }: JobHeaderProps) {
  const actions = useJobActions();
  const [, navigate] = useLocation();
  const [choosing, setChoosing] = useState<"never" | "closed" | "open">("never");
  const running = job.status === "running";
  return (
    <div>
      <PageHeader
        title={job.training_name || text.job.unnamed}
        before={
          <Link href={paths.queue} className={classes.back}>
            <Icon name="back" size={16} />
            {text.job.back}
          </Link>
        }
        beside={<StatusPill status={job.status} />}
        actions={
          <>
            {running && (
              <>
                <Button
                  variant="default"
                  leftSection={<Icon name="edit" size={16} />}
                  aria-haspopup="dialog"
                  onClick={onChange}
                >
                  {text.changes.open}
                </Button>
                <CommandButton job={job} actions={actions} command="sample" />
                <CommandButton job={job} actions={actions} command="save" />
              </>
            )}
            {EDITABLE.has(job.status) && (
              <Button
                component={Link}
                href={paths.editJob(job.id)}
                variant="default"
                leftSection={<Icon name="edit" size={16} />}
              >
                {text.actions.edit}
              </Button>
            )}
            {QUEUEABLE.has(job.status) && job.resumable_from_steps.length > 0 && (
              <Button
                variant="default"
                leftSection={<Icon name="clock" size={16} />}
                aria-haspopup="dialog"
                onClick={() => setChoosing("open")}
              >
                {text.resumeFrom.open}
              </Button>
            )}
            {job.status === "completed" && (
              <Button
                component={Link}
                href={paths.tryIt(job.id)}
                leftSection={<Icon name="try" size={16} />}
              >
                {text.app.tryIt}
              </Button>
            )}
            <MainAction job={job} actions={actions} />
            <JobMenu job={job} actions={actions} onDeleted={() => navigate(paths.queue)} />
          </>
        }
      />
      {choosing !== "never" && (
        <ResumeDialog
          job={job}
          opened={choosing === "open"}
          onClose={() => setChoosing("closed")}
          onQueue={(fromStep) => actions.queue.mutate({ ...job, fromStep })}
        />
      )}
      <div className={classes.progress}>
        {job.waits_for !== null && (
          <p className={classes.wait}>
            {job.queue_position !== null && <>{text.job.position(job.queue_position)} · </>}
            <WaitWords job={job} />
          </p>
        )}
        <PhaseLine job={job} />
        <JobFigures job={job}>
          {job.last_sign_at !== null && <LastSign at={job.last_sign_at} />}
        </JobFigures>
      </div>
    </div>
  );
}

interface CommandButtonProps {
  job: Job;
  actions: ReturnType<typeof useJobActions>;
  command: "save" | "sample";
}

function CommandButton({ job, actions, command }: CommandButtonProps) {
  const { mutate, isPending, variables } = actions.command;
  return (
    <Button
      variant="default"
      leftSection={<Icon name={command === "save" ? "save" : "picture"} size={16} />}
      loading={isPending && variables?.command === command}
      onClick={() => mutate({ id: job.id, command })}
    >
      {command === "save" ? text.actions.saveNow : text.actions.sampleNow}
    </Button>
  );
}
