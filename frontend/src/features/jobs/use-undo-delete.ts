import { useQueryClient } from "@tanstack/react-query";
import { api } from "@/api/client";
import { keys } from "@/api/queries";
import { toast, toastFailure, toastFailures } from "@/components/ui/toast";
import { tryEach } from "@/lib/try-each";
import { text } from "@/messages";

export interface Deleted {
  name: string;
  /** Its files went to the trash with it; else its folder stayed where it was. */
  isInTrash: boolean;
}

/** Brings jobs back: from the trash, or where the folder stayed, from the folder. */
export function useUndoDelete(): (deleted: Deleted[]) => void {
  const client = useQueryClient();
  return async (deleted) => {
    try {
      // The latest first: of two jobs of one name, the one that was deleted just now.
      const trash = await api.trash();
      const tried = await tryEach(deleted, async ({ name, isInTrash }) => {
        const entry = trash.find((one) => one.kind === "job" && one.training_name === name);
        await (isInTrash && entry !== undefined ? api.restore(entry.id) : api.rescan(name));
      });
      const [back, not] = [tried.answers.length, tried.errors.length];
      if (not === 0) {
        toast(text.undo.done(back));
      } else {
        toastFailures(text.undo.name, text.undo.some(back, not), tried);
      }
    } catch (error) {
      toastFailure(text.undo.name, error);
    } finally {
      void client.invalidateQueries({ queryKey: keys.jobs });
      void client.invalidateQueries({ queryKey: keys.trash });
    }
  };
}
