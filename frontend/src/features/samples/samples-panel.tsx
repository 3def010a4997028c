import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { samplesQuery } from "@/api/queries";
import { Empty } from "@/components/ui/empty";
import { Panel } from "@/components/ui/panel";
import { QueryView } from "@/components/ui/query-view";
import { text } from "@/messages";
import { Lightbox, type Place } from "./lightbox";
import { SampleGrid } from "./sample-grid";
import { sampleTable } from "./sample-rows";

interface SamplesPanelProps {
  jobId: number;
  /** Whether more may come. */
  expecting: boolean;
}

export function SamplesPanel({ jobId, expecting }: SamplesPanelProps) {
  const samples = useQuery(samplesQuery(jobId));
  const [place, setPlace] = useState<Place | null>(null);
  return (
    <Panel title={text.samples.title}>
      <QueryView query={samples} loading={260}>
        {(list) => {
          if (list.length === 0) {
            return (
              <Empty icon="picture" title={text.samples.emptyTitle}>
                {expecting ? text.samples.emptyWaiting : text.samples.emptyNever}
              </Empty>
            );
          }
          const table = sampleTable(list);
          return (
            <>
              <SampleGrid table={table} onOpen={setPlace} />
              {place !== null && (
                <Lightbox
                  table={table}
                  place={place}
                  onMove={setPlace}
                  onClose={() => setPlace(null)}
                />
              )}
            </>
          );
        }}
      </QueryView>
    </Panel>
  );
}
