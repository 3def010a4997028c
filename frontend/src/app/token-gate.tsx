import { useQueryClient } from "@tanstack/react-query";
import { type ReactNode, useCallback, useEffect, useState } from "react";
import { onUnauthorized } from "@/api/client";
import { TokenForm } from "@/features/settings/token-form";

interface TokenGateProps {
  /** Gets a function that locks the page. */
  children: (lock: () => void) => ReactNode;
}

/** When the server asks for its token, the form for it stands in the page's place. */
export function TokenGate({ children }: TokenGateProps) {
  const client = useQueryClient();
  const [locked, setLocked] = useState(false);
  const lock = useCallback(() => setLocked(true), []);
  useEffect(() => onUnauthorized(lock), [lock]);

  if (!locked) {
    return children(lock);
  }
  return (
    <TokenForm
      onUnlocked={() => {
        client.clear();
        setLocked(false);
      }}
    />
  );
}
