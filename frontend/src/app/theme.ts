import {
  createTheme,
  defaultVariantColorsResolver,
  type MantineColorsTuple,
  type VariantColorsResolver,
} from "@mantine/core";

/** The safelight: the one lamp that may burn in a darkroom. */
const safelight: MantineColorsTuple = [
  "#fff3e6",
  "#ffe2c7",
  "#ffc791",
  "#fdaa5b",
  "#f7923a",
  "#ee7d22",
  "#d9660f",
  "#b04d08",
  "#93400a",
  "#78350f",
];

/** Warm graphite, from paper to the unlit room. */
const dark: MantineColorsTuple = [
  "#ebe8e3",
  "#c9c4bd",
  "#a8a29b",
  "#857f79",
  "#4b4745",
  "#383434",
  "#2a2728",
  "#1d1b1c",
  "#151314",
  "#0f0e0f",
];

/** Tracks, borders and quiet buttons of Mantine's own, as warm as the page. */
const gray: MantineColorsTuple = [
  "#f9f8f6",
  "#f2f0ec",
  "#eae6e1",
  "#dfdad4",
  "#d0cac2",
  "#b3aca4",
  "#8b847c",
  "#514b46",
  "#3a3531",
  "#25211f",
];

/** What is filled with the accent, and plain buttons, take their colours from tokens.css. */
const variantColorResolver: VariantColorsResolver = (input) => {
  const resolved = defaultVariantColorsResolver(input);
  const isAccent = input.color === undefined || input.color === "safelight";
  if (input.variant === "filled" && isAccent) {
    return {
      ...resolved,
      background: "var(--accent-fill)",
      hover: "var(--accent-fill-hover)",
      color: "var(--on-accent)",
      border: "1px solid transparent",
    };
  }
  if (input.variant === "default") {
    return {
      ...resolved,
      background: "var(--raised)",
      hover: "var(--sunken)",
      color: "var(--ink)",
      border: "1px solid var(--edge)",
    };
  }
  return resolved;
};

export const theme = createTheme({
  colors: { safelight, dark, gray },
  primaryColor: "safelight",
  primaryShade: { light: 7, dark: 4 },
  variantColorResolver,
  fontFamily:
    'ui-sans-serif, system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "Liberation Sans", sans-serif',
  fontFamilyMonospace:
    'ui-monospace, "SF Mono", "Cascadia Mono", "JetBrains Mono", Menlo, Consolas, "Liberation Mono", monospace',
  headings: { fontWeight: "620" },
  defaultRadius: "md",
  cursorType: "pointer",
  focusRing: "auto",
  respectReducedMotion: true,
});
