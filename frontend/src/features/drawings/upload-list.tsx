import { ActionIcon, Button } from "@mantine/core";
import { Icon } from "@/components/ui/icons";
import { Notice } from "@/components/ui/notice";
import { ProblemList } from "@/components/ui/problem-list";
import { ProgressBar } from "@/components/ui/progress-bar";
import { formatBytes, formatPercent } from "@/lib/format";
import { words } from "@/messages/drawings";
import classes from "./lora-field.module.css";
import { nameBeside } from "./upload-names";
import type { LoraUploads, UploadState } from "./use-lora-upload";

/** What is on its way to the server, and what the server refused, in its own words. */
export function UploadList({ uploads, cancel, close, again }: LoraUploads) {
  return uploads.map((one) =>
    one.problems === null ? (
      <div key={one.id} className={classes.upload}>
        <div className={classes.uploadHead}>
          <span className={classes.name}>{one.name}</span>
          <span className={classes.facts}>
            {one.sent < 1
              ? `${formatPercent(one.sent, 1)} · ${formatBytes(one.file.size)}`
              : words.uploads.checking}
          </span>
          <ActionIcon
            variant="subtle"
            color="gray"
            size={32}
            aria-label={words.uploads.cancel(one.name)}
            onClick={() => cancel(one.id)}
          >
            <Icon name="close" size={16} />
          </ActionIcon>
        </div>
        <ProgressBar label={words.uploads.progress(one.name)} done={one.sent} total={1} active />
      </div>
    ) : (
      <Notice
        key={one.id}
        tone="bad"
        role="alert"
        title={words.uploads.refused(one.name)}
        action={
          <ActionIcon
            variant="subtle"
            color="gray"
            size={32}
            aria-label={words.uploads.close(one.name)}
            onClick={() => close(one.id)}
          >
            <Icon name="close" size={16} />
          </ActionIcon>
        }
      >
        <ProblemList problems={one.problems} />
        <Remedy upload={one} again={again} />
      </Notice>
    ),
  );
}

/** A name that is taken, and a server that was away, need nothing but another attempt. */
function Remedy({ upload, again }: { upload: UploadState; again: LoraUploads["again"] }) {
  const isTaken = upload.problems?.some(({ code }) => code === "lora_name_taken") === true;
  if (!isTaken && !upload.isAway) {
    return null;
  }
  const other = isTaken ? nameBeside(upload.name) : undefined;
  return (
    <Button size="xs" variant="default" mt={8} onClick={() => again(upload, other)}>
      {other === undefined ? words.uploads.again : words.uploads.keepBoth(other)}
    </Button>
  );
}
