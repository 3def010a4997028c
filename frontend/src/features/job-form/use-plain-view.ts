import { useState } from "react";
import { readDraft, storeDraft } from "./stored-draft";

const STORED = "view";

/** Plain or complete, as this browser saw the form last; plain at first. */
export function usePlainView(): [boolean, (plain: boolean) => void] {
  const [plain, setPlain] = useState(() => readDraft(STORED)?.config.plain !== false);
  const change = (next: boolean) => {
    setPlain(next);
    storeDraft(STORED, { plain: next });
  };
  return [plain, change];
}
