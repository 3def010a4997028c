import { Button } from "@mantine/core";
import { Link } from "wouter";
import { Icon } from "@/components/ui/icons";
import { paths } from "@/lib/paths";
import { text } from "@/messages";
import classes from "./first-visit.module.css";

interface FirstVisitProps {
  /** The example job, and which of its datasets are not here; null where none can be offered. */
  example: { missing: string[] } | null;
}

/** An empty Darkroom explains itself and offers the example, or says what that lacks. */
export function FirstVisit({ example }: FirstVisitProps) {
  const isWhole = example?.missing.length === 0;
  return (
    <section className={classes.visit} aria-labelledby="first-visit">
      <h2 id="first-visit" className={classes.title}>
        {text.queue.emptyTitle}
      </h2>
      <p className={classes.lead}>{text.queue.emptyLead}</p>
      <ol className={classes.steps}>
        {text.queue.emptySteps.map((step, index) => (
          <li key={step.title} className={classes.step}>
            <span className={classes.number} aria-hidden="true">
              {index + 1}
            </span>
            <h3 className={classes.stepTitle}>{step.title}</h3>
            <p className={classes.stepBody}>{step.body}</p>
          </li>
        ))}
      </ol>
      <div className={classes.actions}>
        {isWhole && (
          <Button component={Link} href={paths.exampleJob} size="md">
            {text.queue.openExample}
          </Button>
        )}
        <Button
          component={Link}
          href={paths.newJob}
          size="md"
          variant="default"
          leftSection={<Icon name="plus" size={16} />}
        >
          {text.queue.startOwn}
        </Button>
      </div>
      {example !== null && (
        <p className={classes.hint}>
          {isWhole ? text.queue.exampleHint : text.queue.exampleMissing(example.missing)}
        </p>
      )}
    </section>
  );
}
