import { MantineProvider } from "@mantine/core";
import { render, screen } from "@testing-library/react";
import { syntheticSchema, system } from "@tests/examples";
import { expect, test } from "vitest";
import type { Device } from "@/api/types";
import { FormContext } from "./form-context";
import { panelsOf, type Setting } from "./setting-model";
import { SettingWidget } from "./setting-widget";

const [cook] = panelsOf(syntheticSchema)[0]?.setting.fields ?? [];
const gpu = { ...cook, widget: "device" } as Setting;

function show(devices: Device[] | null) {
  const context = {
    change: () => {},
    problems: [],
    plain: false,
    devices,
    defaults: {},
    renderDatasetPicker: () => null,
  };
  const ids = { id: "gpu", labelId: "gpu-label", describedBy: "gpu-help" };
  return render(
    <MantineProvider env="test">
      <FormContext value={context}>
        <SettingWidget {...ids} setting={gpu} value="GPU-7" invalid={false} onChange={() => {}} />
      </FormContext>
    </MantineProvider>,
  );
}

test("a chosen card is said to be missing only when it is known what there is", () => {
  const { unmount } = show(null);
  expect(screen.getByRole("combobox")).toHaveDisplayValue("GPU-7");
  unmount();
  show(system.devices);
  expect(screen.getByRole("combobox")).toHaveDisplayValue("GPU-7 (not in this machine)");
});
