/**
 * Pictures that are asked for again where they do not come.
 *
 * A browser asks once, and says the same of a server that is away as of a damaged file. Here it is
 * asked again after 1, 2 and 4 s, and at once when the event stream is back; while that is known to
 * be away nothing is asked and nothing counts. Only then is a picture lost.
 */

import { type ComponentProps, type ReactNode, useEffect, useRef, useState } from "react";
import { useConnection } from "@/api/live";

const AGAIN_AFTER_MS = [1000, 2000, 4000];

interface RetryingPictureProps extends ComponentProps<"img"> {
  src: string;
  alt: string;
  /** What stands in its place, while it is waited for and where it is lost. */
  instead: (isLost: boolean) => ReactNode;
}

export function RetryingPicture({ src, alt, instead, ...others }: RetryingPictureProps) {
  const { isMissing, isLost, onFailure, again } = useTries(src);
  return isMissing ? (
    <>
      {instead(isLost)}
      {again}
    </>
  ) : (
    <img {...others} src={src} alt={alt} onError={onFailure} />
  );
}

interface Tries {
  /** What is asked for; of something else nothing is known yet. */
  what: string;
  failures: number;
  isMissing: boolean;
}

export function useTries(what: string) {
  const [known, setKnown] = useState<Tries>({ what, failures: 0, isMissing: false });
  const { failures, isMissing } = known.what === what ? known : { failures: 0, isMissing: false };
  return {
    /** Not to be asked for at the moment. */
    isMissing,
    isLost: isMissing && failures > AGAIN_AFTER_MS.length,
    onFailure: () => setKnown({ what, failures: failures + 1, isMissing: true }),
    /** Stands on the page, unseen, to end the waiting. */
    again: isMissing && (
      <Again
        failures={failures}
        onAgain={(counted) => setKnown({ what, failures: counted, isMissing: false })}
      />
    ),
  };
}

interface AgainProps {
  /** 1 after the first. */
  failures: number;
  /** How many failures count from now on. */
  onAgain: (failures: number) => void;
}

/** A component of its own: of hundreds of pictures only those that are missing hear of the stream. */
function Again({ failures, onAgain }: AgainProps) {
  const { state } = useConnection();
  const isOpen = state === "open";
  const wasOpen = useRef(isOpen);
  const latest = useRef(onAgain);
  latest.current = onAgain;
  useEffect(() => {
    if (isOpen && !wasOpen.current) {
      latest.current(0);
    }
    wasOpen.current = isOpen;
  }, [isOpen]);
  const delay = state === "away" ? undefined : AGAIN_AFTER_MS[failures - 1];
  useEffect(() => {
    if (delay === undefined) {
      return;
    }
    const timer = setTimeout(() => latest.current(failures), delay);
    return () => clearTimeout(timer);
  }, [delay, failures]);
  return null;
}
