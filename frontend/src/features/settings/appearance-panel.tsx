import { SegmentedControl, useMantineColorScheme } from "@mantine/core";
import { Panel } from "@/components/ui/panel";
import { text } from "@/messages";
import classes from "./appearance-panel.module.css";

const schemes = ["auto", "light", "dark"] as const;

export function AppearancePanel() {
  const { colorScheme, setColorScheme } = useMantineColorScheme();
  return (
    <Panel title={text.system.appearance}>
      <SegmentedControl
        aria-label={text.app.colorScheme}
        value={colorScheme}
        onChange={(value) => setColorScheme(value as (typeof schemes)[number])}
        data={schemes.map((value) => ({ value, label: text.app.colorSchemeNames[value] }))}
      />
      <p className={classes.help}>{text.system.appearanceHelp}</p>
    </Panel>
  );
}
