/** Reading and replacing one value inside a job, by a path such as `datasets.0.resolutions`. */

export type ConfigPath = readonly (string | number)[];

export function pathName(path: ConfigPath): string {
  return path.join(".");
}

export function valueAt(config: unknown, path: ConfigPath): unknown {
  return path.reduce<unknown>(
    (value, key) =>
      typeof value === "object" && value !== null
        ? (value as Record<string | number, unknown>)[key]
        : undefined,
    config,
  );
}

/** A copy with one value replaced; what the path does not touch stays the same object. */
export function withValueAt<Config>(config: Config, path: ConfigPath, value: unknown): Config {
  const [key, ...rest] = path;
  if (key === undefined) {
    return value as Config;
  }
  if (Array.isArray(config)) {
    const copy = [...config];
    copy[Number(key)] = withValueAt(copy[Number(key)], rest, value);
    return copy as Config;
  }
  const record = (config ?? {}) as Record<string, unknown>;
  return { ...record, [key]: withValueAt(record[key], rest, value) } as Config;
}
