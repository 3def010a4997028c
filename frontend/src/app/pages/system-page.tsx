import { useQuery } from "@tanstack/react-query";
import { useTopics } from "@/api/live";
import { systemQuery } from "@/api/queries";
import { PageHeader } from "@/components/ui/page-header";
import { QueryView } from "@/components/ui/query-view";
import { AppearancePanel } from "@/features/settings/appearance-panel";
import { HooksPanel } from "@/features/system/hooks-panel";
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
      <QueryView query={system} loading={360}>
        {(state) => (
          <div className={classes.columns}>
            <div className={classes.stack}>
              <DevicesPanel system={state} />
              <WorkerPanel system={state} />
              <AppearancePanel />
            </div>
            <div className={classes.stack}>
              <FoldersPanel system={state} />
              <AccessPanel system={state} />
              <HooksPanel />
            </div>
          </div>
        )}
      </QueryView>
    </>
  );
}
