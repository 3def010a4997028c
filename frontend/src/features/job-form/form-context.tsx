import { createContext, type ReactNode, useContext } from "react";
import type { Device, JobConfigValue } from "@/api/types";
import type { ConfigPath } from "./config-path";
import type { FieldProblem } from "./field-problems";

/** What every field of the form needs besides its own value. */
export interface FormContextValue {
  change(path: ConfigPath, value: unknown): void;
  problems: FieldProblem[];
  /** Only the settings that most people touch, and what else matters. */
  plain: boolean;
  /** Opens a new job's form with what is typed here; left out where that makes no sense. */
  onClone?: () => void;
  /** Of this machine; null while they are not known. */
  devices: Device[] | null;
  /** The job with every default, which new entries are copied from. */
  defaults: JobConfigValue;
  /** Draws the dataset picker, which is another feature's. */
  renderDatasetPicker(props: DatasetPickerProps): ReactNode;
  /** Draws what the dataset at a place of the job's list holds; another feature's, too. */
  renderDatasetContents?: (props: { config: JobConfigValue; place: number }) => ReactNode;
}

export interface DatasetPickerProps {
  id: string;
  value: string;
  onChange: (name: string) => void;
  invalid: boolean;
  optional: boolean;
  describedBy: string;
  labelledBy: string;
}

export const FormContext = createContext<FormContextValue | null>(null);

/** What the form holds; apart, so that a letter typed redraws only those who look at all of it. */
export const ConfigContext = createContext<JobConfigValue>({});

export function useForm(): FormContextValue {
  const form = useContext(FormContext);
  if (form === null) {
    throw new Error("This component must stand inside the job form.");
  }
  return form;
}
