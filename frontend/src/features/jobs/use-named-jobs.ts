import { useDebouncedValue } from "@mantine/hooks";
import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { problemsOf } from "@/api/errors";
import { jobNamesQuery } from "@/api/queries";
import type { JobSummary } from "@/api/types";
import { text } from "@/messages";

const TYPING_PAUSE_MS = 180;
/** The longest that the server looks for, and that a job can be called. */
const LONGEST_NAME = 64;

interface NamedJobs {
  /** While others are looked for, those that were found before. */
  jobs: JobSummary[];
  /** Why there is nothing to choose, if nothing is: `none` only when the server found none. */
  nothing: (none: string) => string;
}

/** The jobs whose names hold what is typed, found by the server among all that there are. */
export function useNamedJobs(typed: string, enabled: boolean): NamedJobs {
  const wanted = typed.trim().slice(0, LONGEST_NAME);
  const [search] = useDebouncedValue(wanted, TYPING_PAUSE_MS);
  const found = useQuery({
    ...jobNamesQuery(search),
    placeholderData: keepPreviousData,
    enabled,
  });
  const nothing = (none: string) => {
    if (found.isError) {
      return text.find.unread(problemsOf(found.error)[0]?.message ?? "");
    }
    const isAnswered = search === wanted && found.isSuccess && !found.isPlaceholderData;
    return isAnswered ? none : text.app.loading;
  };
  return { jobs: found.data ?? [], nothing };
}
