import { useEffect, useRef } from "react";
import type { Gallery } from "./gallery-model";
import type { Place } from "./grid-keys";
import { movesFrom, placeAfter, type Seen, sampleAt } from "./lightbox-places";

interface Looking {
  gallery: Gallery;
  place: Place;
  onMove: (place: Place) => void;
  onClose: () => void;
}

/**
 * The place to look at. A picture may leave the gallery while it is looked at: then another's in its
 * stead, or the lightbox closes where there is none.
 */
export function useStillThere({ gallery, place, onMove, onClose }: Looking): Place {
  const seen = useRef<Seen | null>(null);
  const isThere = sampleAt(gallery, place) !== undefined;
  const next = isThere || seen.current === null ? undefined : placeAfter(gallery, seen.current);
  const shown = next ?? place;
  const sample = sampleAt(gallery, shown);
  useEffect(() => {
    if (sample === undefined) {
      onClose();
    } else {
      seen.current = { sample, moves: movesFrom(gallery, shown) };
    }
    if (next !== undefined) {
      onMove(next);
    }
  });
  return shown;
}
