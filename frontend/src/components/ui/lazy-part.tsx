/**
 * Parts of the page whose code is fetched when they are first shown.
 *
 * React keeps a failed import for good, and so may the browser. Here it is tried again: at once if
 * the server answers, when the connection is back, and when somebody presses the button. If it fails
 * although the server answers, the code is gone (an update has other files) or the browser keeps the
 * failure; both need a fresh page. It is loaded by itself once for each part, which the session
 * remembers until that part has arrived: never in a loop. Forms have stored what was typed.
 */

import { Button } from "@mantine/core";
import {
  Component,
  type ComponentType,
  createElement,
  lazy,
  type ReactNode,
  useCallback,
  useEffect,
  useRef,
  useState,
} from "react";
import { useConnection, useTopics } from "@/api/live";
import { text } from "@/messages";
import { Notice } from "./notice";

type Load<Props> = () => Promise<{ default: ComponentType<Props> }>;

/** The code of a part could not be fetched. */
class PartMissing extends Error {
  override name = "PartMissing";
}

interface PartSource<Props> {
  name: string;
  known: ComponentType<Props>;
  fetchAgain: () => Promise<void>;
}

/** The part that `load` imports; it suspends while that is under way. `name` is its own. */
export function lazyPart<Props extends object>(
  name: string,
  load: Load<Props>,
): ComponentType<Props> {
  const fetched: Load<Props> = async () => {
    try {
      const module = await load();
      forgetReload(name);
      return module;
    } catch (error) {
      throw new PartMissing(String(error), { cause: error });
    }
  };
  const source: PartSource<Props> = {
    name,
    known: lazy(fetched),
    fetchAgain: async () => {
      const module = await fetched();
      source.known = lazy(() => Promise.resolve(module));
    },
  };
  return (props) => createElement(Part<Props>, { source, props });
}

function Part<Props extends object>({
  source,
  props,
}: {
  source: PartSource<Props>;
  props: Props;
}) {
  const [attempt, setAttempt] = useState(0);
  return (
    <MissingBoundary
      key={attempt}
      notice={
        <MissingNotice
          name={source.name}
          fetchAgain={source.fetchAgain}
          onArrived={() => setAttempt((before) => before + 1)}
        />
      }
    >
      {createElement(source.known, props)}
    </MissingBoundary>
  );
}

interface MissingBoundaryProps {
  notice: ReactNode;
  children: ReactNode;
}

/** Stands for code that is missing; any other error is for the boundary around it. */
class MissingBoundary extends Component<MissingBoundaryProps, { error: unknown }> {
  override state: { error: unknown } = { error: null };

  static getDerivedStateFromError(error: unknown): { error: unknown } {
    return { error };
  }

  override render(): ReactNode {
    if (this.state.error === null) {
      return this.props.children;
    }
    if (this.state.error instanceof PartMissing) {
      return this.props.notice;
    }
    throw this.state.error;
  }
}

interface MissingNoticeProps {
  name: string;
  fetchAgain: () => Promise<void>;
  onArrived: () => void;
}

function MissingNotice({ name, fetchAgain, onArrived }: MissingNoticeProps) {
  // A page that is missing has no topics of its own, and without any nobody looks for the server.
  useTopics("system");
  const isOpen = useConnection().state === "open";
  const [state, setState] = useState<"trying" | "away" | "gone">("away");
  const latest = useRef({ fetchAgain, onArrived });
  latest.current = { fetchAgain, onArrived };

  const mend = useCallback(async (mayReload: () => boolean) => {
    setState("trying");
    if (!(await serverAnswers())) {
      setState("away");
      return;
    }
    try {
      await latest.current.fetchAgain();
    } catch {
      setState("gone");
      if (mayReload()) {
        window.location.reload();
      }
      return;
    }
    latest.current.onArrived();
  }, []);
  useEffect(() => {
    if (isOpen) {
      void mend(() => rememberReload(name));
    }
  }, [isOpen, mend, name]);

  return (
    <Notice
      tone="bad"
      role="status"
      title={text.errors.missingTitle}
      action={
        <Button
          variant="default"
          size="xs"
          loading={state === "trying"}
          // A person's press is no loop.
          onClick={() => void mend(() => true)}
        >
          {text.errors.retry}
        </Button>
      }
    >
      {state === "gone" ? text.errors.missingGone : text.errors.missingAway}
    </Notice>
  );
}

/** Whether the server gives out its page: what a proxy says in its place does not count. */
async function serverAnswers(): Promise<boolean> {
  try {
    return (await fetch("/", { method: "HEAD", cache: "no-store" })).ok;
  } catch {
    return false;
  }
}

const PREFIX = "darkroom.reloaded-for.";

/** False if the page was loaded anew for this part already, or if that could not be remembered. */
function rememberReload(name: string): boolean {
  try {
    if (window.sessionStorage.getItem(PREFIX + name) !== null) {
      return false;
    }
    window.sessionStorage.setItem(PREFIX + name, new Date().toISOString());
    return true;
  } catch {
    return false;
  }
}

function forgetReload(name: string): void {
  try {
    window.sessionStorage.removeItem(PREFIX + name);
  } catch {
    // Nothing could be remembered either.
  }
}

// The bundler's loader takes a stylesheet that stands in the page for loaded, even one that failed.
document.addEventListener(
  "error",
  ({ target }) => {
    if (target instanceof HTMLLinkElement && target.rel === "stylesheet") {
      target.remove();
    }
  },
  true,
);
