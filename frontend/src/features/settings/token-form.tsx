import { Button, PasswordInput } from "@mantine/core";
import { type FormEvent, useState } from "react";
import { api } from "@/api/client";
import { ApiError, problemsOf } from "@/api/errors";
import { text } from "@/messages";
import classes from "./token-form.module.css";

export function TokenForm({ onUnlocked }: { onUnlocked: () => void }) {
  const [token, setToken] = useState("");
  const [error, setError] = useState<string | null>(null);
  const [busy, setBusy] = useState(false);

  const submit = async (event: FormEvent) => {
    event.preventDefault();
    setBusy(true);
    setError(null);
    try {
      await api.openSession(token);
      onUnlocked();
    } catch (reason) {
      const wrong = reason instanceof ApiError && reason.status === 401;
      setError(wrong ? text.token.wrong : (problemsOf(reason)[0]?.message ?? ""));
    } finally {
      setBusy(false);
    }
  };

  return (
    <main className={classes.page}>
      <form className={classes.card} onSubmit={(event) => void submit(event)}>
        <img src="/favicon.svg" width={44} height={44} alt="" />
        <h1 className={classes.title}>{text.token.title}</h1>
        <p className={classes.lead}>{text.token.explanation}</p>
        <PasswordInput
          label={text.token.label}
          description={text.token.help}
          value={token}
          onChange={(event) => setToken(event.currentTarget.value)}
          error={error}
          autoComplete="current-password"
          data-autofocus
          required
        />
        <Button type="submit" loading={busy} fullWidth>
          {text.token.submit}
        </Button>
      </form>
    </main>
  );
}
