import type {
  Checkpoint,
  Command,
  DrawnPicture,
  Failure,
  FailureCure,
  Job,
  JobSchema,
  JobSummary,
  LoadSample,
  Lora,
  Measurement,
  Metric,
  QueueState,
  Run,
  Sample,
  SystemInfo,
  TrashEntry,
  WholeDrawing,
} from "@/api/types";

export function jobSummary(changes: Partial<JobSummary> = {}): JobSummary {
  return {
    id: 1,
    training_name: "ink-portraits",
    kind: "training",
    status: "running",
    is_being_deleted: false,
    architecture: "tiny",
    total_steps: 300,
    step: 120,
    phase: "train",
    progress: { done: 120, total: 300, message: "" },
    loss: 0.4123,
    step_seconds: 0.31,
    best_step_seconds: null,
    eta_seconds: 71.5,
    queue_position: null,
    waits_for: null,
    too_small_devices: [],
    priority: 0,
    not_before: null,
    run_after_job_id: null,
    created_at: "2026-01-31T20:15:00Z",
    updated_at: "2026-01-31T20:17:10Z",
    started_at: "2026-01-31T20:15:02Z",
    finished_at: null,
    last_sign_at: null,
    thumbnail_url: null,
    error: null,
    likely_cause: null,
    alarms: [],
    ...changes,
  };
}

export function wholeJob(changes: Partial<Job> = {}): Job {
  return {
    ...jobSummary(),
    config: {},
    warnings: [],
    runs: [],
    moves: [],
    folder: "ink-portraits",
    resumable_from_steps: [],
    ...changes,
  };
}

export function run(number: number, changes: Partial<Run> = {}): Run {
  return {
    id: number,
    number,
    status: "completed",
    started_at: "2026-01-31T20:15:02Z",
    finished_at: "2026-01-31T20:17:10Z",
    exit_code: 0,
    failure_class: null,
    first_step: 0,
    last_step: 120,
    device: "cpu",
    host: "studio",
    problems: [],
    ...changes,
  };
}

export function metric(step: number, changes: Partial<Metric> = {}): Metric {
  return {
    step,
    loss: 1 / step,
    objective: 1 / step,
    preservation_loss: null,
    learning_rate: 1e-4,
    gradient_norm: 0.5,
    step_seconds: 0.3,
    run: 1,
    ...changes,
  };
}

export function measurement(step: number, changes: Partial<Measurement> = {}): Measurement {
  return {
    step,
    validation_loss: 0.5,
    drift_without_trigger: null,
    change_with_trigger: null,
    run: 1,
    ...changes,
  };
}

export function command(changes: Partial<Command> = {}): Command {
  return {
    id: 1,
    command: "change",
    settings: {},
    requested_at: "2026-01-31T20:17:00Z",
    outcome: "waiting",
    step: null,
    problems: [],
    ...changes,
  };
}

export function checkpoint(step: number, changes: Partial<Checkpoint> = {}): Checkpoint {
  return {
    id: step,
    step,
    is_final: false,
    size_bytes: 2_400_000,
    created_at: "2026-01-31T20:20:00Z",
    loss: 0.3,
    preservation_loss: null,
    num_layers: 40,
    lora_norm: 1.25,
    is_best: false,
    is_pinned: false,
    is_starred: false,
    note: "",
    url: `/api/jobs/1/checkpoints/${step}/file`,
    ...changes,
  };
}

export function sample(id: number, step: number, promptIndex: number, prompt: string): Sample {
  return {
    id,
    step,
    prompt_index: promptIndex,
    prompt,
    seed: 42,
    width: 128,
    height: 128,
    guidance_scale: 1,
    sample_steps: 20,
    lora_strength: 1,
    negative_prompt: null,
    control_images: [],
    file: `samples/step-${String(step).padStart(6, "0")}-prompt-0${promptIndex}.png`,
    superseded_by: null,
    thumbnail_url: `/api/jobs/1/samples/${id}/thumbnail?v=${id}`,
    is_starred: false,
    note: "",
    url: `/api/jobs/1/samples/${id}/image?v=${id}`,
  };
}

export const system: SystemInfo = {
  version: "0.1.0",
  token_required: false,
  hub_token_set: false,
  devices: [
    {
      id: "cpu",
      name: "Test CPU",
      memory_total_bytes: 16 * 1024 ** 3,
      memory_used_bytes: 1024 ** 3,
    },
  ],
  worker: { alive: true, last_seen_at: "2026-01-31T20:17:10Z" },
  memory: { total_bytes: 16 * 1024 ** 3, available_bytes: 12 * 1024 ** 3, swap_used_bytes: 0 },
  disk: { output_total_bytes: 2e12, output_free_bytes: 1e11, cache_free_bytes: 1e11 },
  folders: { datasets: "/d", output: "/o", cache: "/c", models: "/m" },
};

export function failureCure(changes: Partial<FailureCure> = {}): FailureCure {
  return {
    key: "resolutions-5f0c",
    title: "Lower Resolutions to at most 896",
    why: "Smaller pictures take less of everything.",
    settings: { "datasets.0.resolutions": [768, 896] },
    goes_on_from_step: 100,
    is_new_job: false,
    effect: {
      place: "vram",
      before_bytes: 25 * 1024 ** 3,
      after_bytes: 23 * 1024 ** 3,
      available_bytes: 24 * 1024 ** 3,
      fits: true,
    },
    request: { method: "POST", path: "/api/jobs/1/cures/resolutions-5f0c", body: {} },
    ...changes,
  };
}

export function failure(changes: Partial<Failure> = {}): Failure {
  return {
    failure_class: "out_of_memory",
    code: "out_of_memory",
    message: "The device has no memory left.",
    hint: "Use 512 px.",
    likely_cause: "Another program held a part of it.",
    phase: "train",
    step: 120,
    exit_code: 9,
    signal: null,
    run: 1,
    last_lines: ["first"],
    cures: [],
    ...changes,
  };
}

/** The machine, so many seconds after the example's first moment. */
export function loadSample(second: number, usedBytes: number | null): LoadSample {
  return {
    at: new Date(Date.UTC(2026, 0, 31, 20, 17, second)).toISOString(),
    devices:
      usedBytes === null
        ? []
        : [
            {
              id: "cpu",
              memory_used_bytes: usedBytes,
              utilization_percent: 50,
              temperature_celsius: null,
              power_watts: null,
            },
          ],
    memory_used_bytes: usedBytes ?? 0,
    disk_free_bytes: 1e11,
  };
}

export function queueState(changes: Partial<QueueState> = {}): QueueState {
  return { paused: [], num_jobs: {}, num_drawings: {}, architectures: ["tiny"], ...changes };
}

export function trashEntry(changes: Partial<TrashEntry> = {}): TrashEntry {
  return {
    id: "ink-portraits-20260131",
    kind: "job",
    training_name: "ink-portraits",
    step: null,
    prompt: null,
    is_final: false,
    size_bytes: 20_000_000,
    deleted_at: "2026-01-31T20:15:00Z",
    expires_at: "2026-03-02T20:15:00Z",
    ...changes,
  };
}

export function lora(changes: Partial<Lora> = {}): Lora {
  return {
    file: "/o/ink/checkpoints/step-000250/lora.safetensors",
    label: "ink, step 250",
    source: "job",
    name: "lora.safetensors",
    job_id: 1,
    step: 250,
    is_final: false,
    fits: ["tiny"],
    size_bytes: 2_400_000,
    created_at: "2026-01-31T20:15:00Z",
    problem: null,
    ...changes,
  };
}

/** A picture of a drawing; drawn if it has a number, else waiting. */
export function drawnPicture(index: number, changes: Partial<DrawnPicture> = {}): DrawnPicture {
  return {
    index,
    prompt: "a fox",
    lora: null,
    lora_label: null,
    lora_strength: null,
    state: changes.sample ? "drawn" : "waiting",
    message: null,
    sample: null,
    ...changes,
  };
}

/** The drawing of these pictures, with the recipes that they were asked for with. */
export function wholeDrawing(
  pictures: DrawnPicture[],
  changes: Partial<WholeDrawing> = {},
): WholeDrawing {
  return {
    ...jobSummary({ id: 7, training_name: "drawing-0001", kind: "drawing", phase: "sample" }),
    total_steps: pictures.length,
    step: 0,
    loss: null,
    step_seconds: null,
    eta_seconds: null,
    progress: null,
    loras: [{ file: "/o/ink/checkpoints/step-000250/lora.safetensors", label: "ink, step 250" }],
    pictures,
    config: {
      gpu: "any",
      model: { model_architecture: "tiny" },
      pictures: pictures.map(({ prompt, lora: place, lora_strength }) => ({
        prompt,
        seed: 42,
        lora: place,
        lora_strength: lora_strength ?? 1,
      })),
    },
    warnings: [],
    runs: [],
    ...changes,
  };
}

/** Every kind of setting in a schema of its own, so that the form proves to know no field by name. */
export const syntheticSchema = {
  schema: {
    $defs: {
      Flavour: { type: "string", enum: ["sweet", "sour", "salty", "bitter", "umami"] },
      Kitchen: {
        type: "object",
        properties: {
          cook: {
            type: "string",
            title: "Cook",
            description: "Who cooks.",
            default: "",
            placeholder: "anybody",
          },
          heat: {
            type: "number",
            title: "Heat",
            description: "How hot it gets.",
            unit: "degrees",
            no_effect: "The stove is off.",
            default: 0.0001,
            exclusiveMinimum: 0,
          },
          guests: { type: "integer", title: "Guests", description: "At the table.", default: 4 },
          stove: { type: "boolean", title: "Stove", description: "Lit.", default: false },
          flavour: {
            $ref: "#/$defs/Flavour",
            title: "Flavour",
            description: "Of the soup.",
            choices: { sweet: "Sweet as honey" },
            default: "sour",
          },
          timer: {
            anyOf: [{ type: "integer", minimum: 1 }, { type: "null" }],
            title: "Timer",
            description: "Rings.",
            placeholder: "blank = never",
            default: null,
          },
          sizes: {
            type: "array",
            items: { type: "integer" },
            title: "Sizes",
            description: "Of the plates.",
            default: [16],
          },
          secret: { title: "Secret", description: "Of no known type.", default: { salt: 1 } },
        },
      },
      Course: {
        type: "object",
        properties: {
          dish: {
            type: "string",
            title: "Dish",
            description: "What is served.",
            widget: "text_lines",
          },
          wine: {
            anyOf: [{ type: "string" }, { type: "null" }],
            title: "Wine",
            description: "Beside it.",
            default: null,
          },
        },
        required: ["dish"],
      },
    },
    properties: {
      kitchen: { $ref: "#/$defs/Kitchen", title: "Kitchen" },
      courses: { type: "array", items: { $ref: "#/$defs/Course" }, title: "Courses", minItems: 1 },
    },
  },
  panels: [
    { key: "kitchen", title: "Kitchen" },
    { key: "courses", title: "Courses" },
  ],
  defaults: {
    kitchen: {
      cook: "",
      heat: 0.0001,
      guests: 4,
      stove: false,
      flavour: "sour",
      timer: null,
      sizes: [16],
      secret: { salt: 1 },
    },
    courses: [{ dish: "", wine: null }],
  },
  example: null,
  changeable: ["kitchen.guests", "kitchen.flavour", "kitchen.sizes"],
} as unknown as JobSchema;
