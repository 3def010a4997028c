import { useQuery } from "@tanstack/react-query";
import { useTopics } from "@/api/live";
import { systemQuery } from "@/api/queries";
import { PageHeader } from "@/components/ui/page-header";
import { QueryView } from "@/components/ui/query-view";
import { AppearancePanel } from "@/features/settings/appearance-panel";
import {
  AccessPanel,
  DevicesPanel,
  FoldersPanel,
  WorkerPanel,
} from "@/features/system/system-panels";
import { text } from "@/messages";
import classes from "./pages.module.css";

export default function SystemPage() {
  useTopics("system");
  const system = useQuery(systemQuery);
  return (
    <>
      <PageHeader title={text.system.title} />
      <div className={classes.stack}>
        <QueryView query={system} loading={360}>
          {(state) => (
            <div className={classes.columns}>
              <DevicesPanel system={state} />
              <FoldersPanel system={state} />
              <WorkerPanel system={state} />
              <AccessPanel system={state} />
            </div>
          )}
        </QueryView>
        <AppearancePanel />
      </div>
    </>
  );
}
