import { ActionIcon, Button, Textarea } from "@mantine/core";
import { useId } from "react";
import { Icon } from "@/components/ui/icons";
import { words } from "@/messages/drawings";
import classes from "./drawing-form.module.css";

interface PromptListProps {
  prompts: string[];
  triggerWord: string;
  onChange: (prompts: string[]) => void;
}

/** What to draw, one row of pictures for each. */
export function PromptList({ prompts, triggerWord, onChange }: PromptListProps) {
  const titleId = useId();
  const isOne = prompts.length === 1;
  return (
    <fieldset className={classes.field} aria-labelledby={titleId}>
      <h3 id={titleId} className={classes.label}>
        {words.prompts.title}
      </h3>
      {prompts.map((prompt, index) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: a prompt is nothing but its place and words
        <div key={index} className={classes.prompt}>
          <Textarea
            className={classes.promptText}
            aria-label={words.prompts.one(index + 1)}
            placeholder={words.prompts.placeholder}
            autosize
            minRows={2}
            maxRows={8}
            maxLength={10_000}
            value={prompt}
            onChange={(event) =>
              onChange(prompts.map((one, at) => (at === index ? event.currentTarget.value : one)))
            }
          />
          {!isOne && (
            <ActionIcon
              variant="subtle"
              color="gray"
              size={32}
              aria-label={words.prompts.remove(index + 1)}
              onClick={() => onChange(prompts.filter((_, at) => at !== index))}
            >
              <Icon name="close" size={16} />
            </ActionIcon>
          )}
        </div>
      ))}
      {triggerWord !== "" && prompts.some((prompt) => prompt.includes("[trigger]")) && (
        <p className={classes.help}>{words.prompts.trigger(triggerWord)}</p>
      )}
      <Button
        className={classes.add}
        size="xs"
        variant="default"
        leftSection={<Icon name="plus" size={14} />}
        onClick={() => onChange([...prompts, ""])}
      >
        {words.prompts.add}
      </Button>
    </fieldset>
  );
}
