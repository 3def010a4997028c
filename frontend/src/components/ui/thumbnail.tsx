import { Icon } from "./icons";
import { RetryingPicture } from "./retrying-picture";
import classes from "./thumbnail.module.css";

interface ThumbnailProps {
  src: string | null;
  alt: string;
  /** Side in pixels, or the container's width. */
  size?: number;
}

/** A square picture, or the place where one will be or has been. */
export function Thumbnail({ src, alt, size }: ThumbnailProps) {
  const style = size === undefined ? undefined : { width: size, height: size };
  const blank = (
    <div className={classes.blank} style={style} aria-hidden="true">
      <Icon name="picture" size={size !== undefined && size < 80 ? 20 : 30} />
    </div>
  );
  return src === null ? (
    blank
  ) : (
    <RetryingPicture
      className={classes.picture}
      style={style}
      src={src}
      alt={alt}
      loading="lazy"
      decoding="async"
      instead={() => blank}
    />
  );
}
