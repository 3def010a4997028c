import { Button } from "@mantine/core";
import { useMutation, useQuery } from "@tanstack/react-query";
import { Link } from "wouter";
import { api } from "@/api/client";
import { hooksQuery } from "@/api/queries";
import type { Delivery, HooksState } from "@/api/types";
import { Panel } from "@/components/ui/panel";
import { QueryView } from "@/components/ui/query-view";
import { toast, toastFailure } from "@/components/ui/toast";
import { formatAgo, formatMoment, joinFacts } from "@/lib/format";
import { paths } from "@/lib/paths";
import { text } from "@/messages";
import classes from "./system-panels.module.css";

const SHOWN = 8;

/** Who is told what happens, and what became of the last notices. */
export function HooksPanel() {
  const hooks = useQuery(hooksQuery);
  const test = useMutation({
    mutationFn: () => api.testHooks(),
    onSuccess: ({ num_hooks }) => toast(text.hooks.tested(num_hooks)),
    onError: (error) => toastFailure(text.hooks.test, error),
  });
  const isSet = hooks.data !== undefined && (hooks.data.webhook_set || hooks.data.command_set);
  return (
    <Panel
      title={text.hooks.title}
      aside={
        isSet && (
          <Button
            size="xs"
            variant="default"
            loading={test.isPending}
            onClick={() => test.mutate()}
          >
            {text.hooks.test}
          </Button>
        )
      }
    >
      <QueryView query={hooks} loading={80}>
        {(state) =>
          isSet ? <SetHooks state={state} /> : <p className={classes.soft}>{text.hooks.none}</p>
        }
      </QueryView>
    </Panel>
  );
}

function SetHooks({ state }: { state: HooksState }) {
  const targets = [
    ...(state.webhook_set ? [text.hooks.targets.webhook] : []),
    ...(state.command_set ? [text.hooks.targets.command] : []),
  ];
  return (
    <>
      <dl className={classes.facts}>
        <div className={classes.fact}>
          <dt>{text.hooks.set}</dt>
          <dd>{targets.join(", ")}</dd>
        </div>
        <div className={classes.fact}>
          <dt>{text.hooks.toldOf}</dt>
          <dd>{state.events.map((event) => text.hooks.events[event] ?? event).join(", ")}</dd>
        </div>
      </dl>
      <h3 className={classes.name} style={{ margin: "16px 0 6px", fontSize: 15 }}>
        {text.hooks.latest}
      </h3>
      {state.deliveries.length === 0 ? (
        <p className={classes.soft}>{text.hooks.noDeliveries}</p>
      ) : (
        <ul className={classes.list} style={{ gap: 10 }}>
          {state.deliveries.slice(0, SHOWN).map((delivery) => (
            <li key={delivery.id}>
              <DeliveryLine delivery={delivery} />
            </li>
          ))}
        </ul>
      )}
    </>
  );
}

function DeliveryLine({ delivery }: { delivery: Delivery }) {
  const { target, event, job_id, created_at, attempts, error } = delivery;
  const outcome = outcomeOf(delivery);
  return (
    <>
      <p style={{ margin: 0 }}>
        <span className={classes.outcome} data-outcome={outcome}>
          {text.hooks[outcome]}
        </span>{" "}
        {text.hooks.targets[target]}, {text.hooks.events[event] ?? event}
        {job_id !== null && (
          <>
            {" · "}
            <Link href={paths.job(job_id)}>{text.wait.someJob(job_id)}</Link>
          </>
        )}
      </p>
      <p className={classes.soft}>
        {joinFacts([
          formatAgo(created_at),
          ...(attempts > 1 ? [text.hooks.attempts(attempts)] : []),
          ...(outcome === "waiting" && error !== null && delivery.next_try_at !== null
            ? [text.hooks.again(formatMoment(delivery.next_try_at))]
            : []),
        ])}
      </p>
      {error !== null && <p className={classes.error}>{error}</p>}
    </>
  );
}

function outcomeOf({ settled_at, error }: Delivery): "arrived" | "givenUp" | "waiting" {
  if (settled_at === null) {
    return "waiting";
  }
  return error === null ? "arrived" : "givenUp";
}
