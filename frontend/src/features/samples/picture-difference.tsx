import { SegmentedControl } from "@mantine/core";
import { type CSSProperties, useEffect, useRef, useState } from "react";
import type { Sample } from "@/api/types";
import { useTries } from "@/components/ui/retrying-picture";
import { text } from "@/messages";
import classes from "./lightbox-stage.module.css";
import type { Zoom } from "./use-zoom";

const FACTORS = [1, 4, 16];

interface PictureDifferenceProps {
  one: Sample;
  other: Sample;
  zoom: Zoom;
  frame: CSSProperties;
}

/** How far two pictures are apart, pixel by pixel: black is equal. */
export function PictureDifference({ one, other, zoom, frame }: PictureDifferenceProps) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const [factor, setFactor] = useState(4);
  const [said, setSaid] = useState("");
  const { url: oneUrl } = one;
  const { url: otherUrl } = other;
  const fits = one.width === other.width && one.height === other.height;

  const { isMissing, isLost, onFailure, again } = useTries(`${oneUrl} ${otherUrl}`);
  const failed = useRef(onFailure);
  failed.current = onFailure;
  useEffect(() => {
    if (isMissing) {
      setSaid(isLost ? text.samples.differenceFails : "");
      return;
    }
    if (!fits) {
      setSaid(text.samples.differentSizes);
      return;
    }
    let isWanted = true;
    Promise.all([pixelsOf(oneUrl), pixelsOf(otherUrl)])
      .then(([a, b]) => {
        const context = canvas.current?.getContext("2d");
        if (!isWanted || !context || !canvas.current) {
          return;
        }
        canvas.current.width = a.width;
        canvas.current.height = a.height;
        const result = context.createImageData(a.width, a.height);
        const mean = subtract(a.data, b.data, result.data, factor);
        context.putImageData(result, 0, 0);
        setSaid(text.samples.difference(`${(mean * 100).toFixed(2)} %`));
      })
      .catch(() => isWanted && failed.current());
    return () => {
      isWanted = false;
    };
  }, [oneUrl, otherUrl, factor, fits, isMissing, isLost]);

  return (
    <figure className={classes.frame} style={frame}>
      <canvas
        ref={canvas}
        className={classes.picture}
        role="img"
        aria-label={said}
        style={{
          transform: zoom.transform,
          imageRendering: one.width <= 256 ? "pixelated" : undefined,
        }}
      />
      <figcaption className={classes.label} role="status">
        {said}
      </figcaption>
      {again}
      {fits && (
        <SegmentedControl
          className={classes.amplify}
          size="xs"
          aria-label={text.samples.amplify}
          data={FACTORS.map((times) => ({
            value: String(times),
            label: text.samples.amplified(times),
          }))}
          value={String(factor)}
          onChange={(value) => setFactor(Number(value))}
        />
      )}
    </figure>
  );
}

async function pixelsOf(url: string): Promise<ImageData> {
  const image = new Image();
  image.src = url;
  await image.decode();
  const canvas = document.createElement("canvas");
  canvas.width = image.naturalWidth;
  canvas.height = image.naturalHeight;
  const context = canvas.getContext("2d", { willReadFrequently: true });
  if (context === null) {
    throw new Error("This browser gives no canvas.");
  }
  context.drawImage(image, 0, 0);
  return context.getImageData(0, 0, canvas.width, canvas.height);
}

/**
 * |one - other| times `factor` into `result`, all RGBA from 0 to 255. The mean of what is not
 * amplified, as a share of full scale.
 */
export function subtract(
  one: Uint8ClampedArray,
  other: Uint8ClampedArray,
  result: Uint8ClampedArray,
  factor: number,
): number {
  let sum = 0;
  for (let at = 0; at < result.length; at += 4) {
    for (let channel = at; channel < at + 3; channel += 1) {
      const apart = Math.abs((one[channel] ?? 0) - (other[channel] ?? 0));
      sum += apart;
      result[channel] = apart * factor;
    }
    result[at + 3] = 255;
  }
  return sum / ((result.length / 4) * 3 * 255);
}
