import { useState } from "react";
import { Icon } from "./icons";
import classes from "./thumbnail.module.css";

interface ThumbnailProps {
  src: string | null;
  alt: string;
  /** Side in pixels, or the container's width. */
  size?: number;
}

/** A square picture, or the place where one will be. */
export function Thumbnail({ src, alt, size }: ThumbnailProps) {
  // Deleted or drawn anew since its address was told.
  const [gone, setGone] = useState<string | null>(null);
  const style = size === undefined ? undefined : { width: size, height: size };
  if (src === null || src === gone) {
    return (
      <div className={classes.blank} style={style} aria-hidden="true">
        <Icon name="picture" size={size !== undefined && size < 80 ? 20 : 30} />
      </div>
    );
  }
  return (
    <img
      className={classes.picture}
      style={style}
      src={src}
      alt={alt}
      loading="lazy"
      decoding="async"
      onError={() => setGone(src)}
    />
  );
}
