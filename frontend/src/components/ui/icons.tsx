/** The page's icons: one stroke, a 24-unit square, the colour of the text beside them. */

import type { ReactNode } from "react";

const shapes = {
  back: <path d="M15 5l-7 7 7 7" />,
  check: <path d="M5 12.5l4.5 4.5L19 7.5" />,
  chevron: <path d="M6 9l6 6 6-6" />,
  clock: (
    <>
      <circle cx="12" cy="12" r="8.5" />
      <path d="M12 7v5l3.5 2" />
    </>
  ),
  close: <path d="M6 6l12 12M18 6L6 18" />,
  compare: (
    <path d="M4.5 5h6v14h-6zM13.5 5h6v14h-6zM7.500 9v.1M7.500 13v.1M16.500 9v.1M16.500 13v.1" />
  ),
  copy: (
    <>
      <rect x="8.5" y="8.5" width="11" height="11" rx="2" />
      <path d="M15.5 8V6.5a2 2 0 0 0-2-2h-7a2 2 0 0 0-2 2v7a2 2 0 0 0 2 2H8" />
    </>
  ),
  device: (
    <>
      <rect x="6" y="6" width="12" height="12" rx="2" />
      <path d="M9.5 3v3M14.5 3v3M9.5 18v3M14.5 18v3M3 9.5h3M3 14.5h3M18 9.5h3M18 14.5h3" />
    </>
  ),
  download: <path d="M12 4v11m-4.5-4.5L12 15l4.5-4.5M5 19.5h14" />,
  draft: <path d="M6 3.5h8l4 4v13H6zM14 3.5v4h4" />,
  edit: <path d="M5 19l1-4L16.5 4.5l3 3L9 18zM14.5 6.5l3 3" />,
  failed: <path d="M12 3.5l9 16H3zM12 10v4.5M12 17.200v.1" />,
  grip: <path d="M9 6v.1M15 6v.1M9 12v.1M15 12v.1M9 18v.1M15 18v.1" />,
  info: (
    <>
      <circle cx="12" cy="12" r="8.5" />
      <path d="M12 11v5M12 8v.1" />
    </>
  ),
  interrupted: <path d="M13 3L6 13.5h5L10 21l8-11h-5.5z" />,
  moon: <path d="M19.5 14.5A8 8 0 0 1 9.5 4.5a8 8 0 1 0 10 10z" />,
  more: (
    <>
      <circle cx="5.5" cy="12" r="1" />
      <circle cx="12" cy="12" r="1" />
      <circle cx="18.5" cy="12" r="1" />
    </>
  ),
  pause: <path d="M8.5 5.5v13M15.5 5.5v13" />,
  picture: (
    <>
      <rect x="3.5" y="5" width="17" height="14" rx="2" />
      <circle cx="9" cy="10" r="1.5" />
      <path d="M4 17l5-4.5 3 2.5 4-4 4 4" />
    </>
  ),
  play: <path d="M8 5.5v13l10.5-6.5z" />,
  plus: <path d="M12 5v14M5 12h14" />,
  queue: <path d="M4 7h16M4 12h16M4 17h10" />,
  refresh: (
    <path d="M19.5 8A8 8 0 0 0 5 9.5M4.5 4.5v5h5M4.5 16A8 8 0 0 0 19 14.5M19.5 19.5v-5h-5" />
  ),
  save: <path d="M5 4.5h11l3 3v12H5zM8.5 4.5v5h6v-5M8 19.5v-6h8v6" />,
  star: (
    <path d="M12 4l2.400 5.200 5.600.7-4.100 3.900 1.100 5.700-5-2.800-5 2.800 1.100-5.700L4 9.900l5.600-.7z" />
  ),
  stop: <rect x="6.5" y="6.5" width="11" height="11" rx="1.5" />,
  sun: (
    <>
      <circle cx="12" cy="12" r="4" />
      <path d="M12 2.5v2M12 19.5v2M2.5 12h2M19.5 12h2M5.300 5.300l1.400 1.400M17.300 17.300l1.400 1.400M18.700 5.300l-1.400 1.400M6.700 17.300l-1.400 1.400" />
    </>
  ),
  system: (
    <>
      <rect x="3.5" y="4.5" width="17" height="11" rx="2" />
      <path d="M9 19.5h6M12 15.5v4" />
    </>
  ),
  trash: <path d="M4.5 7h15M9.5 7V4.5h5V7M6.5 7l1 12.5h9l1-12.5M10 10.5v5.5M14 10.5v5.5" />,
  try: (
    <path d="M4 20l9.500-9.500M13.500 10.500l2 2M15 3.500v3M13.500 5h3M19.500 8.500v3M18 10h3M8 5.500v2M7 6.500h2" />
  ),
  upload: <path d="M12 16V5m-4.5 4.5L12 5l4.5 4.5M5 19.5h14" />,
  zoom: (
    <>
      <circle cx="11" cy="11" r="6.5" />
      <path d="M16 16l4.5 4.5" />
    </>
  ),
} satisfies Record<string, ReactNode>;

export type IconName = keyof typeof shapes;

interface IconProps {
  name: IconName;
  /** In pixels. */
  size?: number;
}

/** Decorative always: the words beside it, or the button's label, say what it means. */
export function Icon({ name, size = 18 }: IconProps) {
  return (
    <svg
      width={size}
      height={size}
      viewBox="0 0 24 24"
      fill="none"
      stroke="currentColor"
      strokeWidth={1.7}
      strokeLinecap="round"
      strokeLinejoin="round"
      aria-hidden="true"
      focusable="false"
    >
      {shapes[name]}
    </svg>
  );
}
