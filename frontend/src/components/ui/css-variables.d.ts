import "react";

declare module "react" {
  interface CSSProperties {
    /** CSS variables may be set where styles are. */
    [variable: `--${string}`]: string | number | undefined;
  }
}
