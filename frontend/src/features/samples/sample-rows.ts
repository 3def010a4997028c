import type { Sample } from "@/api/types";

export interface SampleRow {
  key: string;
  promptIndex: number;
  prompt: string;
  byStep: Map<number, Sample>;
}

export interface SampleTable {
  /** Ascending; step 0 is the base model's column. */
  steps: number[];
  rows: SampleRow[];
}

/**
 * Prompts down, steps across. A row is a place in the prompt list *and* its wording, so that
 * pictures stay with the prompt they were drawn from when the prompts are edited between runs.
 */
export function sampleTable(samples: Sample[]): SampleTable {
  const steps = [...new Set(samples.map((sample) => sample.step))].sort((a, b) => a - b);
  const rows = new Map<string, SampleRow>();
  for (const sample of samples) {
    const key = `${sample.prompt_index} ${sample.prompt}`;
    const row = rows.get(key) ?? {
      key,
      promptIndex: sample.prompt_index,
      prompt: sample.prompt,
      byStep: new Map<number, Sample>(),
    };
    const known = row.byStep.get(sample.step);
    if (known === undefined || known.id < sample.id) {
      row.byStep.set(sample.step, sample);
    }
    rows.set(key, row);
  }
  return {
    steps,
    rows: [...rows.values()].sort((a, b) => a.promptIndex - b.promptIndex),
  };
}
