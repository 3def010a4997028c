import { Button } from "@mantine/core";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { Suspense, useContext } from "react";
import { useLocation } from "wouter";
import { applyJob } from "@/api/apply-event";
import { api } from "@/api/client";
import { keys } from "@/api/queries";
import type { FailureCure, JobSummary } from "@/api/types";
import { Icon } from "@/components/ui/icons";
import { SettingsView } from "@/components/ui/settings-view";
import { toast, toastFailure } from "@/components/ui/toast";
import { formatBytes, formatCount, formatGib } from "@/lib/format";
import { paths } from "@/lib/paths";
import { text } from "@/messages";
import classes from "./cure-list.module.css";

interface CureListProps {
  job: Pick<JobSummary, "id" | "training_name">;
  cures: FailureCure[];
}

/** Changed jobs that would cure the failure, the best first; each is one click away. */
export function CureList({ job, cures }: CureListProps) {
  const cure = useCure(job);
  const NamedSettings = useContext(SettingsView);
  if (cures.length === 0) {
    return <p className={classes.none}>{text.cures.none}</p>;
  }
  return (
    <ul className={classes.cures} aria-label={text.cures.title}>
      {cures.map((each, index) => (
        <li key={each.key} className={classes.cure}>
          <div className={classes.words}>
            <p className={classes.title}>{each.title}</p>
            <p className={classes.why}>{each.why}</p>
            <p className={classes.facts}>{factsOf(each).join(" ")}</p>
            {Object.keys(each.settings).length > 0 && (
              <Suspense fallback={null}>
                <NamedSettings className={classes.settings} settings={each.settings} />
              </Suspense>
            )}
          </div>
          <Button
            size="xs"
            variant={index === 0 ? "filled" : "default"}
            loading={cure.isPending && cure.variables.key === each.key}
            disabled={cure.isPending && cure.variables.key !== each.key}
            leftSection={<Icon name="refresh" size={15} />}
            aria-label={`${text.cures.apply}: ${each.title}`}
            onClick={() => cure.mutate(each)}
          >
            {text.cures.apply}
          </Button>
        </li>
      ))}
    </ul>
  );
}

function factsOf({ effect, goes_on_from_step, is_new_job }: FailureCure): string[] {
  const facts: string[] = [];
  if (effect !== null) {
    const size = effect.place === "disk" ? formatBytes : formatGib;
    const words = text.cures.effect(
      text.cures.places[effect.place] ?? effect.place,
      size(effect.before_bytes),
      size(effect.after_bytes),
      effect.available_bytes === null ? null : size(effect.available_bytes),
    );
    facts.push(`${words}, ${effect.fits ? text.cures.fits : text.cures.mayNotFit}.`);
  }
  if (is_new_job) {
    facts.push(text.cures.newJob);
  } else {
    facts.push(
      goes_on_from_step === null
        ? text.cures.begins
        : text.cures.goesOn(formatCount(goes_on_from_step)),
    );
  }
  return facts;
}

/** Changes and queues the job; where the change does not fit its checkpoints, a copy of it. */
export function useCure(job: CureListProps["job"]) {
  const client = useQueryClient();
  const [, navigate] = useLocation();
  return useMutation({
    mutationFn: ({ key }: FailureCure) => api.cureJob(job.id, key),
    onSuccess: (cured) => {
      applyJob(client, cured, () => {});
      client.setQueryData(keys.job(cured.id), cured);
      if (cured.id === job.id) {
        toast(text.cures.applied(cured.training_name));
      } else {
        toast(text.cures.copied(cured.training_name));
        navigate(paths.job(cured.id));
      }
    },
    onError: (error) => {
      toastFailure(text.cures.apply, error);
      // What is offered may have changed with the machine.
      void client.invalidateQueries({ queryKey: keys.failure(job.id) });
    },
  });
}
