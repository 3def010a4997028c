import { ActionIcon, Button, FileButton, Switch } from "@mantine/core";
import { useId, useState } from "react";
import type { Lora, Problem } from "@/api/types";
import { Icon } from "@/components/ui/icons";
import { formatBytes, joinFacts } from "@/lib/format";
import { words } from "@/messages/drawings";
import {
  architectureOf,
  type ChosenLora,
  chosenLora,
  type Draft,
  hubLora,
  isOfAnotherBase,
} from "./draft";
import { LoraChooser } from "./lora-chooser";
import classes from "./lora-field.module.css";
import { NameEntry } from "./name-entry";
import { UploadList } from "./upload-list";
import { useFileDrop } from "./use-file-drop";
import { useLoraUpload } from "./use-lora-upload";

interface LoraFieldProps {
  draft: Draft;
  problems: Problem[];
  onAdd: (lora: ChosenLora) => void;
  onRemove: (file: string) => void;
  onWithBase: (withBase: boolean) => void;
}

/** What the pictures are drawn with: checkpoints, uploads, files of the hub, and the base model. */
export function LoraField({ draft, problems, onAdd, onRemove, onWithBase }: LoraFieldProps) {
  const titleId = useId();
  const [isChoosing, setChoosing] = useState(false);
  const [isNaming, setNaming] = useState(false);
  const uploads = useLoraUpload((lora: Lora) => onAdd(chosenLora(lora)));
  const { isOver, handlers } = useFileDrop(uploads.start);
  return (
    <fieldset
      className={classes.field}
      aria-labelledby={titleId}
      data-over={isOver}
      data-drop={words.loras.drop}
      {...handlers}
    >
      <h3 id={titleId} className={classes.label}>
        {words.loras.title}
      </h3>
      {draft.loras.length === 0 ? (
        <p className={classes.none}>{words.loras.none}</p>
      ) : (
        <ul className={classes.list}>
          {draft.loras.map((lora, place) => (
            <ChosenItem
              key={lora.file}
              draft={draft}
              lora={lora}
              problems={problems.filter((problem) => isOf(problem, lora, place))}
              onRemove={() => onRemove(lora.file)}
            />
          ))}
        </ul>
      )}
      <UploadList {...uploads} />
      <div className={classes.sources}>
        <Button
          size="xs"
          variant={draft.loras.length === 0 ? "filled" : "default"}
          leftSection={<Icon name="plus" size={15} />}
          aria-haspopup="dialog"
          onClick={() => setChoosing(true)}
        >
          {words.loras.choose}
        </Button>
        <FileButton multiple onChange={(files) => uploads.start(files)} accept=".safetensors">
          {(props) => (
            <Button
              {...props}
              size="xs"
              variant="default"
              leftSection={<Icon name="upload" size={15} />}
            >
              {words.loras.upload}
            </Button>
          )}
        </FileButton>
        <Button
          size="xs"
          variant="default"
          aria-expanded={isNaming}
          onClick={() => setNaming(!isNaming)}
        >
          {words.loras.hub}
        </Button>
      </div>
      {isNaming && (
        <NameEntry
          label={words.loras.hubLabel}
          description={words.loras.hubHelp}
          placeholder={words.loras.hubPlaceholder}
          add={words.loras.hubAdd}
          onAdd={(id) => onAdd(hubLora(id))}
        />
      )}
      <Switch
        size="sm"
        mt={10}
        label={draft.loras.length === 0 ? words.loras.withBaseAlone : words.loras.withBase}
        checked={draft.withBase}
        onChange={(event) => onWithBase(event.currentTarget.checked)}
      />
      <LoraChooser
        draft={draft}
        opened={isChoosing}
        onClose={() => setChoosing(false)}
        onAdd={onAdd}
        onRemove={onRemove}
      />
    </fieldset>
  );
}

/** The server names the file's place in the list, or its path. */
export function isOf({ field, params }: Problem, lora: ChosenLora, place: number): boolean {
  const path = typeof params?.path === "string" ? params.path : null;
  return (
    field === `loras.${place}` ||
    (path !== null && (path === lora.file || path.endsWith(`/${lora.file}`)))
  );
}

interface ChosenItemProps {
  draft: Draft;
  lora: ChosenLora;
  problems: Problem[];
  onRemove: () => void;
}

function ChosenItem({ draft, lora, problems, onRemove }: ChosenItemProps) {
  const facts = [
    ...(lora.fits.length > 0 ? [lora.fits.join(" / ")] : []),
    ...(lora.sizeBytes === null ? [] : [formatBytes(lora.sizeBytes)]),
  ];
  // What the server says of it comes a moment later, and stands in the place of this.
  const said =
    problems.length === 0 && isOfAnotherBase(draft, lora)
      ? [words.loras.otherBase(lora.fits, architectureOf(draft) ?? "")]
      : problems.map(({ message, hint }) => `${message} ${hint}`);
  return (
    <li className={classes.chosen} data-bad={said.length > 0}>
      <div className={classes.about}>
        <span className={classes.name}>{lora.label}</span>
        {facts.length > 0 && <span className={classes.facts}>{joinFacts(facts)}</span>}
        {said.map((sentence) => (
          <p key={sentence} className={classes.problem}>
            <Icon name="failed" size={15} />
            <span>{sentence}</span>
          </p>
        ))}
      </div>
      <ActionIcon
        variant="subtle"
        color="gray"
        size={32}
        aria-label={words.loras.remove(lora.label)}
        onClick={onRemove}
      >
        <Icon name="close" size={16} />
      </ActionIcon>
    </li>
  );
}
