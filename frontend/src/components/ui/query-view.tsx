import { Button, Skeleton } from "@mantine/core";
import type { ReactNode } from "react";
import { problemsOf } from "@/api/errors";
import { text } from "@/messages";
import { Notice } from "./notice";

/** A query of one answer or of many pages. */
interface Asked<Data> {
  data: Data | undefined;
  isError: boolean;
  error: unknown;
  refetch: () => Promise<unknown>;
}

interface QueryViewProps<Data> {
  query: Asked<Data>;
  /** What stands there while the first answer is under way; its height, in pixels, when a number. */
  loading?: ReactNode | number;
  children: (data: Data) => ReactNode;
}

/** Loading, failed or there: the three states that every fetched part of a page has. */
export function QueryView<Data>({ query, loading = 96, children }: QueryViewProps<Data>) {
  if (query.data !== undefined) {
    return children(query.data);
  }
  if (query.isError) {
    return <QueryFailure query={query} />;
  }
  return (
    <div aria-busy="true">
      <span className="visually-hidden">{text.app.loading}</span>
      {typeof loading === "number" ? <Skeleton height={loading} radius="md" /> : loading}
    </div>
  );
}

interface QueryFailureProps {
  query: Asked<unknown>;
  /** What is missing. */
  title?: string;
}

/** Why there is no answer, and a way to try again; nothing while there is one or none failed. */
export function QueryFailure({ query, title = text.errors.panelTitle }: QueryFailureProps) {
  if (!query.isError || query.data !== undefined) {
    return null;
  }
  return (
    <Notice
      tone="bad"
      title={title}
      action={
        <Button variant="default" size="xs" onClick={() => void query.refetch()}>
          {text.errors.retry}
        </Button>
      }
    >
      {problemsOf(query.error).map((problem) => (
        <p key={problem.code + problem.message}>
          {problem.message} {problem.hint}
        </p>
      ))}
    </Notice>
  );
}
