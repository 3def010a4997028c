import { useQueryClient } from "@tanstack/react-query";
import { api } from "@/api/client";
import { keys } from "@/api/queries";
import { toast, toastFailure } from "@/components/ui/toast";
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
      for (const { name, isInTrash } of deleted) {
        const entry = trash.find((one) => one.kind === "job" && one.training_name === name);
        if (isInTrash && entry !== undefined) {
          await api.restore(entry.id);
        } else {
          await api.rescan(name);
        }
      }
      toast(text.undo.done(deleted.length));
    } catch (error) {
      toastFailure(text.undo.name, error);
    } finally {
      void client.invalidateQueries({ queryKey: keys.jobs });
      void client.invalidateQueries({ queryKey: keys.trash });
    }
  };
}
