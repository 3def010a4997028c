import { useQuery } from "@tanstack/react-query";
import { Link } from "wouter";
import { useTopics } from "@/api/live";
import { trashQuery } from "@/api/queries";
import { Icon } from "@/components/ui/icons";
import { PageHeader } from "@/components/ui/page-header";
import { QueryView } from "@/components/ui/query-view";
import { TrashPanel } from "@/features/trash/trash-panel";
import { paths } from "@/lib/paths";
import { text } from "@/messages";
import classes from "./pages.module.css";

export default function TrashPage() {
  useTopics("queue");
  const trash = useQuery(trashQuery);
  return (
    <>
      <PageHeader
        title={text.trash.title}
        lead={text.trash.lead}
        before={
          <Link href={paths.queue} className={classes.back}>
            <Icon name="back" size={16} />
            {text.app.queue}
          </Link>
        }
      />
      <QueryView query={trash} loading={240}>
        {(entries) => <TrashPanel entries={entries} />}
      </QueryView>
    </>
  );
}
