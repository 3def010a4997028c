import { Button } from "@mantine/core";
import { Link } from "wouter";
import { PageHeader } from "@/components/ui/page-header";
import { paths } from "@/lib/paths";
import { text } from "@/messages";

export function NotFoundPage() {
  return (
    <>
      <PageHeader title={text.app.notFoundTitle} lead={text.app.notFound} />
      <Button component={Link} href={paths.queue} variant="default">
        {text.app.backToQueue}
      </Button>
    </>
  );
}
