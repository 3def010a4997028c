import { useQueryClient } from "@tanstack/react-query";
import { useEffect, useRef, useState } from "react";
import { problemsOf, ServerAway } from "@/api/errors";
import { keys } from "@/api/queries";
import type { Lora, Problem } from "@/api/types";
import { type Upload, UploadCancelled, upload } from "@/api/upload";
import { announce } from "@/components/ui/announcer";
import { words } from "@/messages/drawings";
import { toSend } from "./lora-file";
import { loraName } from "./upload-names";

/** A file on its way, or why it was refused. */
export interface UploadState {
  id: number;
  name: string;
  /** Of the file that is sent, from 0 to 1. */
  sent: number;
  problems: Problem[] | null;
  file: File;
  /** Whether sending it once more may help. */
  isAway: boolean;
}

/** LoRA files to the server, several at a time; `onThere` hears of each that was kept. */
export function useLoraUpload(onThere: (lora: Lora) => void) {
  const client = useQueryClient();
  const [uploads, setUploads] = useState<UploadState[]>([]);
  const running = useRef(new Map<number, Upload<Lora>>());
  const numbers = useRef(0);
  const latest = useRef(onThere);
  latest.current = onThere;
  useEffect(() => {
    const started = running.current;
    return () => {
      for (const each of started.values()) {
        each.cancel();
      }
    };
  }, []);

  const change = (id: number, part: Partial<UploadState>) =>
    setUploads((all) => all.map((one) => (one.id === id ? { ...one, ...part } : one)));
  const drop = (id: number) => setUploads((all) => all.filter((one) => one.id !== id));

  const send = async (file: File, name = loraName(file.name)) => {
    numbers.current += 1;
    const id = numbers.current;
    setUploads((all) => [...all, { id, name, sent: 0, problems: null, file, isAway: false }]);
    try {
      const address = `/api/loras?${new URLSearchParams({ name })}`;
      const started = upload<Lora>(address, await toSend(file), (sent) => change(id, { sent }));
      running.current.set(id, started);
      const lora = await started.answer;
      drop(id);
      announce(words.uploads.done(lora.label));
      void client.invalidateQueries({ queryKey: keys.loras });
      latest.current(lora);
    } catch (error) {
      if (error instanceof UploadCancelled) {
        drop(id);
      } else {
        change(id, { problems: problemsOf(error), isAway: error instanceof ServerAway });
      }
    } finally {
      running.current.delete(id);
    }
  };

  return {
    uploads,
    start: (files: Iterable<File>) => {
      for (const file of files) {
        void send(file);
      }
    },
    cancel: (id: number) => running.current.get(id)?.cancel(),
    close: drop,
    again: ({ id, file, name }: UploadState, otherName?: string) => {
      drop(id);
      void send(file, otherName ?? name);
    },
  };
}

export type LoraUploads = ReturnType<typeof useLoraUpload>;
