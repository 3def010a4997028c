import { ActionIcon, Button, Group, TextInput } from "@mantine/core";
import { useDebouncedValue } from "@mantine/hooks";
import { useInfiniteQuery, useMutation, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { api } from "@/api/client";
import { keys, lorasQuery } from "@/api/queries";
import type { Lora } from "@/api/types";
import { Dialog } from "@/components/ui/dialog";
import { Icon } from "@/components/ui/icons";
import { QueryView } from "@/components/ui/query-view";
import { toast, toastFailure } from "@/components/ui/toast";
import { formatBytes, formatCount, formatMoment, joinFacts } from "@/lib/format";
import { text } from "@/messages";
import { words } from "@/messages/drawings";
import { architectureOf, type ChosenLora, chosenLora, type Draft, isOfAnotherBase } from "./draft";
import classes from "./lora-chooser.module.css";

const TYPING_PAUSE_MS = 180;

interface LoraChooserProps {
  draft: Draft;
  opened: boolean;
  onClose: () => void;
  onAdd: (lora: ChosenLora) => void;
  onRemove: (file: string) => void;
}

/** Everything that can be drawn with: files first, then what each job has saved, the newest first. */
export function LoraChooser({ draft, opened, onClose, onAdd, onRemove }: LoraChooserProps) {
  const [typed, setTyped] = useState("");
  const [search] = useDebouncedValue(typed.trim(), TYPING_PAUSE_MS);
  const [deleting, setDeleting] = useState<Lora | null>(null);
  return (
    <>
      <Dialog title={words.chooser.title} opened={opened} onClose={onClose} size="lg">
        <TextInput
          type="search"
          maxLength={64}
          aria-label={words.chooser.search}
          placeholder={words.chooser.search}
          leftSection={<Icon name="zoom" size={16} />}
          value={typed}
          onChange={(event) => setTyped(event.currentTarget.value)}
          data-autofocus
        />
        <div className={classes.scroller}>
          <Found
            search={search}
            draft={draft}
            onToggle={(lora, isChosen) =>
              isChosen ? onRemove(lora.file) : onAdd(chosenLora(lora))
            }
            onDelete={setDeleting}
          />
        </div>
        <Group justify="space-between" mt="md">
          <span className={classes.facts} role="status">
            {words.chooser.chosen(draft.loras.length)}
          </span>
          <Button onClick={onClose}>{words.chooser.done}</Button>
        </Group>
      </Dialog>
      <DeleteUpload
        lora={deleting}
        onClose={() => setDeleting(null)}
        onDeleted={({ file }) => onRemove(file)}
      />
    </>
  );
}

interface FoundProps {
  search: string;
  draft: Draft;
  onToggle: (lora: Lora, isChosen: boolean) => void;
  onDelete: (lora: Lora) => void;
}

function Found({ search, draft, onToggle, onDelete }: FoundProps) {
  const loras = useInfiniteQuery(lorasQuery(search));
  return (
    <QueryView query={loras} loading={220}>
      {({ pages }) => {
        const groups = grouped(pages.flatMap(({ items }) => items));
        if (groups.length === 0) {
          return (
            <p className={classes.none}>
              {search === "" ? words.chooser.noneAtAll : words.chooser.none}
            </p>
          );
        }
        return (
          <>
            {groups.map(({ key, title, loras: own }) => (
              <section key={key} aria-label={title}>
                <div className={classes.groupHead}>
                  <h3 className={classes.group}>{title}</h3>
                  <AllOf title={title} loras={own} draft={draft} onToggle={onToggle} />
                </div>
                <ul className={classes.list}>
                  {own.map((lora) => (
                    <Offered
                      key={lora.file}
                      lora={lora}
                      draft={draft}
                      onToggle={onToggle}
                      onDelete={onDelete}
                    />
                  ))}
                </ul>
              </section>
            ))}
            {loras.hasNextPage && (
              <Button
                size="xs"
                variant="default"
                loading={loras.isFetchingNextPage}
                onClick={() => void loras.fetchNextPage()}
              >
                {words.chooser.more}
              </Button>
            )}
          </>
        );
      }}
    </QueryView>
  );
}

interface AllOfProps extends Pick<FoundProps, "draft" | "onToggle"> {
  title: string;
  loras: Lora[];
}

/** Every step of a training beside each other, in one go. */
function AllOf({ title, loras, draft, onToggle }: AllOfProps) {
  const left = loras.filter(
    (lora) =>
      reasonAgainst(lora, draft) === null && !draft.loras.some(({ file }) => file === lora.file),
  );
  const areOfOneJob = loras.every(({ job_id }) => job_id !== null);
  return areOfOneJob && loras.length > 1 && left.length > 0 ? (
    <Button
      size="compact-sm"
      variant="subtle"
      aria-label={words.chooser.allOf(title)}
      onClick={() => {
        for (const lora of left) {
          onToggle(lora, false);
        }
      }}
    >
      {words.chooser.all}
    </Button>
  ) : null;
}

interface OfferedProps extends Omit<FoundProps, "search"> {
  lora: Lora;
}

function Offered({ lora, draft, onToggle, onDelete }: OfferedProps) {
  const isChosen = draft.loras.some(({ file }) => file === lora.file);
  const reason = isChosen ? null : reasonAgainst(lora, draft);
  const facts = [
    lora.fits.join(" / "),
    formatBytes(lora.size_bytes),
    formatMoment(lora.created_at),
  ];
  return (
    <li className={classes.entry}>
      <button
        type="button"
        className={classes.choice}
        aria-pressed={isChosen}
        aria-disabled={reason !== null}
        onClick={() => reason === null && onToggle(lora, isChosen)}
      >
        <span className={classes.box} data-chosen={isChosen}>
          {isChosen && <Icon name="check" size={14} />}
        </span>
        <span className={classes.about}>
          <span className={classes.name}>{nameOf(lora)}</span>
          <span className={classes.facts}>{joinFacts(facts.filter(Boolean))}</span>
          {reason !== null && <span className={classes.reason}>{reason}</span>}
        </span>
      </button>
      {lora.source === "upload" && (
        <ActionIcon
          variant="subtle"
          color="gray"
          size={36}
          aria-label={words.chooser.delete(lora.label)}
          onClick={() => onDelete(lora)}
        >
          <Icon name="trash" size={16} />
        </ActionIcon>
      )}
    </li>
  );
}

/** Why it cannot be drawn with, or not beside those that are chosen. */
function reasonAgainst(lora: Lora, draft: Draft): string | null {
  if (lora.problem !== null) {
    return lora.problem;
  }
  return draft.loras.length > 0 && isOfAnotherBase(draft, chosenLora(lora))
    ? words.loras.otherBase(lora.fits, architectureOf(draft) ?? "")
    : null;
}

/** Within its group: the training's name stands above. */
function nameOf({ job_id, is_final, step, label }: Lora): string {
  if (job_id === null) {
    return label;
  }
  return is_final ? words.chooser.final : words.chooser.step(formatCount(step));
}

interface LoraGroup {
  key: string;
  title: string;
  loras: Lora[];
}

function grouped(loras: Lora[]): LoraGroup[] {
  const groups = new Map<string, LoraGroup>();
  for (const lora of loras) {
    const key = String(lora.job_id ?? "files");
    const title = lora.job_id === null ? words.chooser.files : trainingOf(lora);
    const group = groups.get(key) ?? { key, title, loras: [] };
    group.loras.push(lora);
    groups.set(key, group);
  }
  return [...groups.values()];
}

/** A job's label is `name, step 250`, or the name alone for its end result. */
function trainingOf({ label, is_final }: Lora): string {
  return is_final ? label : label.replace(/, step [\d,]+$/, "");
}

interface DeleteUploadProps {
  lora: Lora | null;
  onClose: () => void;
  onDeleted: (lora: Lora) => void;
}

/** There is no way back from this, so it is asked. */
function DeleteUpload({ lora, onClose, onDeleted }: DeleteUploadProps) {
  const client = useQueryClient();
  const remove = useMutation({
    mutationFn: ({ name }: Lora) => api.deleteLora(name),
    onSuccess: (_, gone) => {
      toast(words.chooser.deleted(gone.label));
      onDeleted(gone);
    },
    onError: (error) => toastFailure(words.chooser.deleting, error),
    onSettled: () => {
      void client.invalidateQueries({ queryKey: keys.loras });
      onClose();
    },
  });
  return (
    <Dialog
      title={words.chooser.deleteTitle(lora?.label ?? "")}
      opened={lora !== null}
      onClose={onClose}
    >
      <p style={{ marginTop: 0 }}>{words.chooser.deleteBody}</p>
      <Group justify="flex-end" mt="lg">
        <Button variant="default" onClick={onClose} data-autofocus>
          {text.actions.cancel}
        </Button>
        <Button
          color="red.8"
          loading={remove.isPending}
          onClick={() => lora !== null && remove.mutate(lora)}
        >
          {words.chooser.deleteConfirm}
        </Button>
      </Group>
    </Dialog>
  );
}
