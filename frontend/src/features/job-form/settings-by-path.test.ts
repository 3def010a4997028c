import { describe, expect, test } from "vitest";
import { differences, withSettings } from "./settings-by-path";

const config = {
  training: { steps: 100 },
  datasets: [{ target_dataset: "a", resolutions: [512] }, { target_dataset: "b" }],
};

describe("settings by path", () => {
  test("a star stands for every entry, and the config given stays as it is", () => {
    const changed = withSettings(config, { "datasets.*.resolutions": [768] });
    expect(changed.datasets).toEqual([
      { target_dataset: "a", resolutions: [768] },
      { target_dataset: "b", resolutions: [768] },
    ]);
    expect(config.datasets[0]?.resolutions).toEqual([512]);
  });

  test("an entry that is not there is not made", () => {
    expect(withSettings(config, { "datasets.2.resolutions": [768] })).toEqual(config);
  });

  test("only what makes a difference counts, with what stood there before", () => {
    const settings = { "training.steps": 100, "datasets.*.resolutions": [512] };
    expect(differences(config, settings)).toEqual({
      next: { "datasets.1.resolutions": [512] },
      before: { "datasets.1.resolutions": null },
    });
  });
});
