import type { Problem } from "@/api/types";

/** What the server found wrong, each with its cure. */
export function ProblemList({ problems }: { problems: Omit<Problem, "severity">[] }) {
  return problems.map((problem) => (
    <p key={`${problem.code} ${problem.field} ${problem.message}`}>
      {problem.message} {problem.hint}
    </p>
  ));
}
