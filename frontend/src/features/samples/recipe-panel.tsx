import { Button } from "@mantine/core";
import type { ReactNode } from "react";
import type { Sample } from "@/api/types";
import { Icon } from "@/components/ui/icons";
import { toast, toastFailure } from "@/components/ui/toast";
import { text } from "@/messages";
import type { Lane } from "./gallery-model";
import classes from "./lightbox.module.css";

interface RecipePanelProps {
  sample: Sample;
  lane: Lane;
  severalJobs: boolean;
  /** What it was drawn with, where that is not the lane's job's own; the base model has none. */
  lora?: string | undefined;
  /** What else can be done with it. */
  children?: ReactNode;
}

/** What the picture was drawn from, and what can be done with that. */
export function RecipePanel({ sample, lane, severalJobs, lora, children }: RecipePanelProps) {
  const short: [string, string][] = [
    [text.samples.seed, String(sample.seed)],
    [text.samples.size_, `${sample.width} × ${sample.height}`],
    [text.samples.guidance, String(sample.guidance_scale)],
    [text.samples.sampleSteps, String(sample.sample_steps)],
    ...strengthOf(sample, lora),
  ];
  const long: [string, string][] = [
    ...(lora === undefined ? [] : [[text.samples.lora, lora] as [string, string]]),
    ...(severalJobs && lora === undefined
      ? [[text.samples.job, lane.jobName] as [string, string]]
      : []),
    ...(sample.superseded_by === null
      ? []
      : [[text.samples.branch, text.samples.setAside(sample.superseded_by)] as [string, string]]),
    ...(sample.negative_prompt
      ? [[text.samples.negativePrompt, sample.negative_prompt] as [string, string]]
      : []),
    ...(sample.control_images.length > 0
      ? [[text.samples.references, sample.control_images.join(", ")] as [string, string]]
      : []),
    [text.samples.file, sample.file],
  ];
  const copy = () =>
    Promise.resolve(navigator.clipboard)
      .then((clipboard) => clipboard.writeText(recipeText(sample, lora)))
      .then(() => toast(text.samples.copied))
      .catch((error: unknown) => toastFailure(text.samples.copyFails, error));
  return (
    <>
      <p className={classes.prompt}>{sample.prompt || text.samples.emptyPrompt}</p>
      <dl className={classes.recipe}>
        {short.map(([name, value]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd className="num">{value}</dd>
          </div>
        ))}
        {long.map(([name, value]) => (
          <div key={name} className={classes.wide}>
            <dt>{name}</dt>
            <dd>{value}</dd>
          </div>
        ))}
      </dl>
      <div className={classes.buttons}>
        {children}
        <Button
          size="xs"
          variant="default"
          onClick={copy}
          leftSection={<Icon name="copy" size={15} />}
        >
          {text.samples.copyRecipe}
        </Button>
        <Button
          component="a"
          href={sample.url}
          download
          size="xs"
          variant="default"
          leftSection={<Icon name="download" size={15} />}
        >
          {text.samples.download}
        </Button>
      </div>
    </>
  );
}

function strengthOf({ step, lora_strength }: Sample, lora?: string): [string, string][] {
  return (step === 0 && lora === undefined) || lora_strength === null
    ? []
    : [[text.samples.loraStrength, String(lora_strength)]];
}

/** As a person writes it down, and as an entry of Prompts takes it. */
export function recipeText(sample: Sample, lora?: string): string {
  const lines: [string, unknown][] = [
    ["prompt", JSON.stringify(sample.prompt)],
    ["seed", sample.seed],
    ["width", sample.width],
    ["height", sample.height],
    ["guidance_scale", sample.guidance_scale],
    ["sample_steps", sample.sample_steps],
    ["lora_strength", sample.lora_strength ?? 1],
    ...(sample.negative_prompt
      ? [["negative_prompt", JSON.stringify(sample.negative_prompt)] as [string, unknown]]
      : []),
    ...(sample.control_images.length > 0
      ? [["control_images", JSON.stringify(sample.control_images)] as [string, unknown]]
      : []),
    ...(lora === undefined
      ? [["step", sample.step] as [string, unknown]]
      : [["lora", JSON.stringify(lora)] as [string, unknown]]),
    ["file", sample.file],
  ];
  return lines.map(([name, value]) => `${name}: ${value}`).join("\n");
}
