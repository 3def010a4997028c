import { ActionIcon, Button, FileButton } from "@mantine/core";
import { useId, useState } from "react";
import { problemsOf } from "@/api/errors";
import type { Problem, Reference } from "@/api/types";
import { upload } from "@/api/upload";
import { Icon } from "@/components/ui/icons";
import { Notice } from "@/components/ui/notice";
import { ProblemList } from "@/components/ui/problem-list";
import { Thumbnail } from "@/components/ui/thumbnail";
import { words } from "@/messages/drawings";
import form from "./drawing-form.module.css";
import { NameEntry } from "./name-entry";
import classes from "./reference-field.module.css";
import { pictureName } from "./upload-names";
import { useFileDrop } from "./use-file-drop";

interface ReferenceFieldProps {
  names: string[];
  problems: Problem[];
  onChange: (next: (names: string[]) => string[]) => void;
}

interface Refused {
  name: string;
  problems: Problem[];
}

/** Pictures that the prompts are shown: uploaded here, or by their names among the datasets. */
export function ReferenceField({ names, problems, onChange }: ReferenceFieldProps) {
  const titleId = useId();
  const [isOpen, setOpen] = useState(false);
  const [numSending, setSending] = useState(0);
  const [refused, setRefused] = useState<Refused[]>([]);
  const add = (name: string) =>
    onChange((before) => (before.includes(name) ? before : [...before, name]));

  const send = async (file: File) => {
    setSending((count) => count + 1);
    try {
      const name = pictureName(file.name);
      const address = `/api/references?${new URLSearchParams({ name })}`;
      add((await upload<Reference>(address, file, () => {}).answer).name);
    } catch (error) {
      setRefused((all) => [...all, { name: file.name, problems: problemsOf(error) }]);
    } finally {
      setSending((count) => count - 1);
    }
  };
  const start = (files: File[]) => {
    setOpen(true);
    setRefused([]);
    for (const file of files) {
      void send(file);
    }
  };
  const { isOver, handlers } = useFileDrop(start);
  return (
    <details
      className={classes.field}
      open={isOpen || names.length > 0}
      data-over={isOver}
      onToggle={(event) => setOpen(event.currentTarget.open)}
      {...handlers}
    >
      <summary id={titleId}>
        {words.references.title}
        {names.length > 0 && <span className={classes.count}>{names.length}</span>}
      </summary>
      <div className={classes.body}>
        <p className={form.help}>{words.references.help}</p>
        {names.length > 0 && (
          <ul className={classes.list} aria-labelledby={titleId}>
            {names.map((name) => (
              <li key={name} className={classes.reference}>
                <Thumbnail src={pictureAt(name)} alt="" size={64} />
                <span className={classes.name}>{name.split("/").at(-1)}</span>
                <ActionIcon
                  variant="subtle"
                  color="gray"
                  size={32}
                  aria-label={words.references.remove(name)}
                  onClick={() => onChange((before) => before.filter((one) => one !== name))}
                >
                  <Icon name="close" size={16} />
                </ActionIcon>
              </li>
            ))}
          </ul>
        )}
        {problems.length > 0 && (
          <Notice tone="bad">
            <ProblemList problems={problems.slice(0, 1)} />
          </Notice>
        )}
        {refused.map(({ name, problems: own }) => (
          <Notice key={name} tone="bad" role="alert" title={words.references.refused(name)}>
            <ProblemList problems={own} />
          </Notice>
        ))}
        <FileButton multiple accept="image/*" onChange={start}>
          {(props) => (
            <Button
              {...props}
              className={form.add}
              size="xs"
              variant="default"
              loading={numSending > 0}
              leftSection={<Icon name="upload" size={15} />}
            >
              {words.references.upload}
            </Button>
          )}
        </FileButton>
        <NameEntry
          label={words.references.name}
          placeholder={words.references.placeholder}
          add={words.references.add}
          onAdd={add}
        />
      </div>
    </details>
  );
}

/** Pictures right in a folder of the datasets folder have an address; others are shown by name. */
function pictureAt(name: string): string | null {
  const parts = name.split("/");
  const [folder, file] = parts;
  return parts.length === 2 && folder !== undefined && folder !== "" && file !== undefined
    ? `/api/datasets/${encodeURIComponent(folder)}/pictures/${encodeURIComponent(file)}?side=256`
    : null;
}
