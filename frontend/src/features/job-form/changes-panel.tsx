import { useQuery } from "@tanstack/react-query";
import { useEffect, useMemo, useRef } from "react";
import { commandsQuery, jobSchemaQuery } from "@/api/queries";
import type { Command } from "@/api/types";
import { announce } from "@/components/ui/announcer";
import { Panel } from "@/components/ui/panel";
import { QueryFailure } from "@/components/ui/query-view";
import { text } from "@/messages";
import { ChangeList, outcomeInWords } from "./change-list";
import { panelsOf } from "./setting-model";

/** The changes that were asked for while it ran; it is not there before the first. */
export default function ChangesPanel({ jobId }: { jobId: number }) {
  const asked = useQuery(commandsQuery(jobId));
  const commands = asked.data;
  const changes = useMemo(
    () => commands?.filter(({ command }) => command === "change"),
    [commands],
  );
  useAnswersSaid(changes);
  const wanted = changes !== undefined && changes.length > 0;
  const schema = useQuery({ ...jobSchemaQuery, enabled: wanted });
  const panels = useMemo(
    () => (schema.data === undefined ? null : panelsOf(schema.data)),
    [schema.data],
  );
  const failed = [asked, schema].find(({ isError, data }) => isError && data === undefined);
  if (failed !== undefined) {
    // Whoever asked for a change would take it for lost.
    return (
      <Panel title={text.changes.panelTitle}>
        <QueryFailure query={failed} />
      </Panel>
    );
  }
  if (!wanted || panels === null) {
    return null;
  }
  return (
    <Panel title={text.changes.panelTitle}>
      <ChangeList commands={changes} panels={panels} />
    </Panel>
  );
}

/** The trainer's answer is said when it arrives. No toast: it would lie on the drawer's button. */
function useAnswersSaid(changes: Command[] | undefined): void {
  const waiting = useRef(new Set<number>());
  useEffect(() => {
    for (const change of changes ?? []) {
      if (change.outcome === "waiting") {
        waiting.current.add(change.id);
      } else if (waiting.current.delete(change.id)) {
        announce(text.changes.answer(outcomeInWords(change)));
      }
    }
  }, [changes]);
}
