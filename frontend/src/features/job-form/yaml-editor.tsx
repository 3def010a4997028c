/** The job as YAML, loaded when somebody asks for it: typed text becomes the form's config. */

import { Button } from "@mantine/core";
import { useCallback, useEffect, useRef, useState } from "react";
import { api } from "@/api/client";
import { problemsOf } from "@/api/errors";
import type { JobConfigValue } from "@/api/types";
import { Notice } from "@/components/ui/notice";
import { PageLoading } from "@/components/ui/page-loading";
import { text as words } from "@/messages";
import type { FieldProblem } from "./field-problems";
import { clearDraft, readDraft, storeDraft } from "./stored-draft";
import classes from "./yaml-editor.module.css";
import { lineOf, linesOfProblems, type ProblemAtLine, placeOfLine } from "./yaml-lines";

const PAUSE_MS = 400;
const RETRY_MS = 3000;

export interface YamlEditorProps {
  /** Name under which the browser keeps a text that the form does not hold yet. */
  storageKey: string;
  config: JobConfigValue;
  problems: FieldProblem[];
  onChange: (config: JobConfigValue) => void;
  /** What is wrong with the text itself; nothing while it can be read. */
  onFaults: (faults: FieldProblem[]) => void;
  /** Go back to what the form holds. */
  onGiveUp: () => void;
  /** Called with what the form may ask of the editor, and with null when it goes. */
  onReady: (editor: EditorHandle | null) => void;
}

export interface EditorHandle {
  goTo(name: string): void;
  /** The config that the text says now; null while it says none. */
  settled(): Promise<JobConfigValue | null>;
}

interface Known {
  /** Of what is wrong with the text itself; the config is then the last that could be read. */
  faults: ProblemAtLine[];
  lines: Record<string, number>;
}

export default function YamlEditor(props: YamlEditorProps) {
  const { storageKey, config, problems, onChange, onFaults, onGiveUp, onReady } = props;
  const stored = `${storageKey}.yaml`;
  const [typed, setTyped] = useState<string | null>(null);
  const [known, setKnown] = useState<Known>({ faults: [], lines: {} });
  const [away, setAway] = useState<string | null>(null);
  const field = useRef<HTMLTextAreaElement>(null);
  const asked = useRef(0);
  /** Of the question that is asked next: when typing pauses, or when it is tried again. */
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined);
  const latest = useRef({ onChange, known });
  latest.current = { onChange, known };

  const read = useCallback(
    async (text: string, apply: boolean): Promise<JobConfigValue | null> => {
      asked.current += 1;
      const question = asked.current;
      try {
        const answer = await api.fromYaml(text);
        if (question !== asked.current) {
          return null;
        }
        setAway(null);
        if (answer.config === null) {
          setKnown((before) => ({ ...before, faults: answer.errors.map(atItsLine) }));
          onFaults(answer.errors.map((one) => ({ ...one, severity: "error" })));
          return null;
        }
        setKnown({ faults: [], lines: answer.lines });
        onFaults([]);
        clearDraft(stored);
        if (apply) {
          latest.current.onChange(answer.config);
        }
        return answer.config;
      } catch (error) {
        if (question === asked.current) {
          setAway(problemsOf(error)[0]?.message ?? "");
          clearTimeout(timer.current);
          timer.current = setTimeout(() => void read(text, apply), RETRY_MS);
        }
        return null;
      }
    },
    [stored, onFaults],
  );

  // The text is made once, from what the form holds when the editor opens.
  const start = useRef(config);
  useEffect(() => {
    const abort = new AbortController();
    const begin = (text: string, apply: boolean) => {
      setTyped(text);
      void read(text, apply);
    };
    const kept = readDraft(stored)?.config.text;
    if (typeof kept === "string") {
      begin(kept, true);
    } else {
      const make = async () => {
        try {
          begin(await api.toYaml(start.current, abort.signal), false);
        } catch (error) {
          if (!abort.signal.aborted) {
            setAway(problemsOf(error)[0]?.message ?? "");
            timer.current = setTimeout(() => void make(), RETRY_MS);
          }
        }
      };
      void make();
    }
    return () => {
      abort.abort();
      clearTimeout(timer.current);
      asked.current += 1; // nobody waits for an answer that is still on its way
    };
  }, [stored, read]);

  const change = (text: string) => {
    setTyped(text);
    // Kept until the form holds it, which takes the pause and an answer.
    storeDraft(stored, { text });
    asked.current += 1; // an answer to the text before this one says nothing any more
    clearTimeout(timer.current);
    timer.current = setTimeout(() => void read(text, true), PAUSE_MS);
  };

  const goToLine = useCallback((line: number) => {
    const element = field.current;
    if (element !== null) {
      const [from, to] = placeOfLine(element.value, line);
      element.focus();
      element.setSelectionRange(from, to);
      const height = element.getBoundingClientRect().height / element.rows;
      const top = element.getBoundingClientRect().top + window.scrollY;
      window.scrollTo({ top: top + height * (line - 1) - window.innerHeight / 2 });
    }
  }, []);
  useEffect(() => {
    onReady({
      goTo: (name) => {
        const line = lineOf(name, latest.current.known.lines);
        if (line !== null) {
          goToLine(line);
        }
      },
      settled: async () => {
        if (field.current === null) {
          return start.current; // its text is still to be made
        }
        clearTimeout(timer.current);
        return read(field.current.value, true);
      },
    });
    return () => {
      onReady(null);
      onFaults([]);
    };
  }, [onReady, onFaults, goToLine, read]);

  if (typed === null) {
    return away === null ? <PageLoading /> : <Notice tone="bad">{away}</Notice>;
  }
  const lines = typed.split("\n");
  const said = known.faults.length > 0 ? known.faults : linesOfProblems(problems, known.lines);
  const marked = new Map(said.map(({ line, severity }) => [line, severity]));
  return (
    <section className={classes.editor} aria-label={words.yaml.title}>
      <p className={classes.help}>{words.yaml.help}</p>
      {away !== null && <Notice tone="warn">{away}</Notice>}
      {said.length > 0 && (
        <ul className={classes.problems} aria-label={words.yaml.problems}>
          {said.map(({ line, message, severity }) => (
            <li key={`${line} ${message}`} data-severity={severity}>
              {line !== null && (
                <button type="button" className={classes.line} onClick={() => goToLine(line)}>
                  {words.yaml.line(line)}
                </button>
              )}
              <span>{message}</span>
            </li>
          ))}
        </ul>
      )}
      {known.faults.length > 0 && (
        <Button variant="default" size="xs" className={classes.back} onClick={onGiveUp}>
          {words.yaml.giveUp}
        </Button>
      )}
      <div className={classes.sheet}>
        <ol className={classes.numbers} aria-hidden="true">
          {lines.map((_, index) => (
            // biome-ignore lint/suspicious/noArrayIndexKey: a line's number is what it is
            <li key={index} data-severity={marked.get(index + 1)}>
              {index + 1}
            </li>
          ))}
        </ol>
        <textarea
          ref={field}
          className={classes.text}
          aria-label={words.yaml.title}
          aria-invalid={known.faults.length > 0}
          rows={lines.length}
          wrap="off"
          spellCheck={false}
          autoCapitalize="off"
          autoComplete="off"
          value={typed}
          onChange={(event) => change(event.currentTarget.value)}
        />
      </div>
    </section>
  );
}

function atItsLine(problem: {
  message: string;
  hint: string;
  params?: Record<string, unknown>;
}): ProblemAtLine {
  const line = problem.params?.line;
  return {
    line: typeof line === "number" ? line : null,
    message: `${problem.message} ${problem.hint}`.trim(),
    severity: "error",
  };
}
