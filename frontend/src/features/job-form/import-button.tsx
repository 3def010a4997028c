import { Button } from "@mantine/core";
import { Suspense, useState } from "react";
import { Icon } from "@/components/ui/icons";
import { lazyPart } from "@/components/ui/lazy-part";
import { words } from "@/messages/job-form";
import type { FormAid } from "./form-aid";
import classes from "./import-dialog.module.css";

const ImportDialog = lazyPart("import-dialog", () => import("./import-dialog"));

/** The way to a job file from elsewhere; what reads it is loaded when somebody asks for it. */
export function ImportButton({ aid }: { aid: FormAid }) {
  const [asked, setAsked] = useState(false);
  const [opened, setOpened] = useState(false);
  return (
    <div className={classes.button}>
      <Button
        variant="default"
        size="xs"
        leftSection={<Icon name="draft" size={16} />}
        onClick={() => {
          setAsked(true);
          setOpened(true);
        }}
      >
        {words.importing.open}
      </Button>
      {asked && (
        <Suspense fallback={null}>
          <ImportDialog aid={aid} opened={opened} onClose={() => setOpened(false)} />
        </Suspense>
      )}
    </div>
  );
}
