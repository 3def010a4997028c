import { Button } from "@mantine/core";
import { useEffect, useState } from "react";
import { useConnection } from "@/api/live";
import { announce } from "@/components/ui/announcer";
import { Notice } from "@/components/ui/notice";
import { text } from "@/messages";
import classes from "./connection-banner.module.css";

/** A cut shorter than this mends itself before anybody has to know. */
const GRACE_MS = 1500;

/** Says that the server is away, and when the next attempt is; goes away by itself. */
export function ConnectionBanner() {
  const { state, retryAt, retryNow } = useConnection();
  const cut = state === "away";
  const [shown, setShown] = useState(false);

  useEffect(() => {
    if (cut) {
      const timer = setTimeout(() => setShown(true), GRACE_MS);
      return () => clearTimeout(timer);
    }
    if (state === "open" && shown) {
      setShown(false);
      announce(text.connection.back);
    }
    return undefined;
  }, [cut, state, shown]);

  if (!shown) {
    return null;
  }
  return (
    <div className={classes.banner}>
      <Notice
        tone="warn"
        role="alert"
        title={text.connection.awayTitle}
        action={
          <Button variant="default" size="xs" onClick={retryNow}>
            {text.connection.retryNow}
          </Button>
        }
      >
        {text.connection.away} <Countdown until={retryAt} />
      </Notice>
    </div>
  );
}

/** Silent for screen readers: a countdown read aloud every second helps nobody. */
function Countdown({ until }: { until: number | null }) {
  const [now, setNow] = useState(Date.now);
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), 500);
    return () => clearInterval(timer);
  }, []);
  const seconds = until === null ? 0 : Math.max(0, Math.ceil((until - now) / 1000));
  return (
    <span className="num" aria-hidden="true">
      {text.connection.retryIn(seconds)}
    </span>
  );
}
