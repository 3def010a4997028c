import { Button, Chip, TextInput } from "@mantine/core";
import { useId, useState } from "react";
import { numberTyped } from "@/lib/typed-number";
import { words } from "@/messages/drawings";
import { HIGHEST_STRENGTH, LOWEST_STRENGTH, QUICK_STRENGTHS } from "./draft";
import classes from "./drawing-form.module.css";

interface StrengthFieldProps {
  strengths: number[];
  onChange: (strengths: number[]) => void;
}

/** How strongly each LoRA is drawn: the usual strengths a press away, any other by typing. */
export function StrengthField({ strengths, onChange }: StrengthFieldProps) {
  const [typed, setTyped] = useState("");
  const [isRefused, setRefused] = useState(false);
  const titleId = useId();
  const offered = ascending([...QUICK_STRENGTHS, ...strengths]);
  const add = () => {
    const number = numberTyped(typed, false);
    if (typeof number !== "number" || number < LOWEST_STRENGTH || number > HIGHEST_STRENGTH) {
      setRefused(typed.trim() !== "");
      return;
    }
    setTyped("");
    onChange(ascending([...strengths, number]));
  };
  return (
    <fieldset className={classes.field} aria-labelledby={titleId}>
      <h3 id={titleId} className={classes.label}>
        {words.strengths.title}
      </h3>
      <p className={classes.help}>{words.strengths.help}</p>
      <div className={classes.chips}>
        {offered.map((strength) => (
          <Chip
            key={strength}
            size="sm"
            variant="outline"
            checked={strengths.includes(strength)}
            onChange={(isOn) =>
              onChange(
                isOn
                  ? ascending([...strengths, strength])
                  : strengths.filter((one) => one !== strength),
              )
            }
          >
            {strength}
          </Chip>
        ))}
        <div className={classes.another}>
          <TextInput
            size="xs"
            w={72}
            inputMode="decimal"
            autoComplete="off"
            aria-label={words.strengths.other}
            placeholder="0.9"
            value={typed}
            error={
              isRefused ? words.strengths.outside(LOWEST_STRENGTH, HIGHEST_STRENGTH) : undefined
            }
            onChange={(event) => {
              setTyped(event.currentTarget.value);
              setRefused(false);
            }}
            onKeyDown={(event) => {
              if (event.key === "Enter") {
                event.preventDefault();
                add();
              }
            }}
          />
          <Button
            size="xs"
            variant="default"
            aria-label={`${words.strengths.add}: ${words.strengths.other.toLowerCase()}`}
            onClick={add}
          >
            {words.strengths.add}
          </Button>
        </div>
      </div>
    </fieldset>
  );
}

function ascending(strengths: number[]): number[] {
  return [...new Set(strengths)].sort((one, other) => one - other);
}
