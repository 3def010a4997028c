import { ActionIcon, Button } from "@mantine/core";
import { useInfiniteQuery } from "@tanstack/react-query";
import { Link } from "wouter";
import { drawingsQuery } from "@/api/queries";
import type { DrawingEntry } from "@/api/types";
import { Empty } from "@/components/ui/empty";
import { Icon } from "@/components/ui/icons";
import { Panel } from "@/components/ui/panel";
import { QueryView } from "@/components/ui/query-view";
import { StatusPill } from "@/components/ui/status-pill";
import { Thumbnail } from "@/components/ui/thumbnail";
import { formatMoment, joinFacts } from "@/lib/format";
import { paths } from "@/lib/paths";
import { words } from "@/messages/drawings";
import classes from "./drawing-list.module.css";

const SHOWN_PICTURES = 4;
const SHOWN_LORAS = 2;

interface DrawingListProps {
  /** The one that is open. */
  shown: number | null;
  onDelete: (drawing: DrawingEntry) => void;
}

/** What was drawn before, the newest first. */
export function DrawingList({ shown, onDelete }: DrawingListProps) {
  const drawings = useInfiniteQuery(drawingsQuery);
  return (
    <Panel title={words.list.title}>
      <QueryView query={drawings} loading={180}>
        {({ pages }) => {
          const list = pages.flatMap(({ items }) => items);
          return list.length === 0 ? (
            <Empty icon="try" title={words.list.emptyTitle}>
              {words.list.empty}
            </Empty>
          ) : (
            <>
              <ul className={classes.list}>
                {list.map((drawing) => (
                  <Card
                    key={drawing.id}
                    drawing={drawing}
                    isShown={drawing.id === shown}
                    onDelete={() => onDelete(drawing)}
                  />
                ))}
              </ul>
              {drawings.hasNextPage && (
                <Button
                  size="xs"
                  variant="default"
                  mt="md"
                  loading={drawings.isFetchingNextPage}
                  onClick={() => void drawings.fetchNextPage()}
                >
                  {words.list.more}
                </Button>
              )}
            </>
          );
        }}
      </QueryView>
    </Panel>
  );
}

interface CardProps {
  drawing: DrawingEntry;
  isShown: boolean;
  onDelete: () => void;
}

function Card({ drawing, isShown, onDelete }: CardProps) {
  const { training_name, pictures, status } = drawing;
  const thumbnails = spread(
    pictures.flatMap(({ sample }) => (sample === null ? [] : [sample.thumbnail_url])),
  );
  const drawn = pictures.filter(({ state }) => state === "drawn").length;
  return (
    <li className={classes.card} data-shown={isShown}>
      <Link
        href={paths.drawing(drawing.id)}
        className={classes.link}
        aria-label={words.list.open(training_name)}
        aria-current={isShown ? "true" : undefined}
      >
        <span className={classes.pictures} data-count={Math.max(1, thumbnails.length)}>
          {thumbnails.length === 0 ? (
            <Thumbnail src={null} alt="" />
          ) : (
            thumbnails.map((src) => <Thumbnail key={src} src={src} alt="" />)
          )}
        </span>
      </Link>
      <div className={classes.line}>
        <span className={classes.name}>{training_name}</span>
        {status !== "completed" && <StatusPill status={status} />}
        <ActionIcon
          className={classes.delete}
          variant="subtle"
          color="gray"
          size={32}
          aria-label={words.list.delete(training_name)}
          onClick={onDelete}
        >
          <Icon name="trash" size={16} />
        </ActionIcon>
      </div>
      <p className={classes.loras}>{lorasOf(drawing)}</p>
      <p className={classes.facts}>
        {joinFacts([words.result.count(drawn, pictures.length), formatMoment(drawing.created_at)])}
      </p>
      <p className={classes.prompt}>{pictures[0]?.prompt}</p>
    </li>
  );
}

function lorasOf({ loras }: DrawingEntry): string {
  const named = loras.slice(0, SHOWN_LORAS).map(({ label }) => label);
  const more = loras.length - named.length;
  if (named.length === 0) {
    return words.list.base;
  }
  return more === 0 ? named.join(" · ") : `${named.join(" · ")} ${words.list.andMore(more)}`;
}

/** A few from all over it, the last one among them. */
function spread(addresses: string[]): string[] {
  const count = Math.min(SHOWN_PICTURES, addresses.length);
  return Array.from(
    { length: count },
    (_, index) => addresses[Math.ceil(((index + 1) * addresses.length) / count) - 1] as string,
  );
}
