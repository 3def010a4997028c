import { MantineProvider } from "@mantine/core";
import { Notifications } from "@mantine/notifications";
import { type QueryClient, QueryClientProvider, usePrefetchQuery } from "@tanstack/react-query";
import { Suspense, useState } from "react";
import { Route, Switch, useLocation } from "wouter";
import { type Alarm, LiveProvider } from "@/api/live";
import type { JobSummary } from "@/api/types";
import { Announcer, announce } from "@/components/ui/announcer";
import { ErrorBoundary } from "@/components/ui/error-boundary";
import { lazyPart } from "@/components/ui/lazy-part";
import { PageLoading } from "@/components/ui/page-loading";
import { SettingsView } from "@/components/ui/settings-view";
import { text } from "@/messages";
import { loadGalleryPage, picturesQueries } from "./first-questions";
import { NotFoundPage } from "./pages/not-found-page";
import { QueuePage } from "./pages/queue-page";
import { newQueryClient } from "./query-client";
import { Shell } from "./shell";
import { theme } from "./theme";
import { TokenGate } from "./token-gate";

const JobFormPage = lazyPart("job-form-page", () => import("./pages/job-form-page"));
const ComparePage = lazyPart("compare-page", () => import("./pages/compare-page"));
const GalleryPage = lazyPart("gallery-page", loadGalleryPage);
const JobPage = lazyPart("job-page", () => import("./pages/job-page"));
const SystemPage = lazyPart("system-page", () => import("./pages/system-page"));
const TryPage = lazyPart("try-page", () => import("./pages/try-page"));
const TrashPage = lazyPart("trash-page", () => import("./pages/trash-page"));
// What names settings is large, and the first load has no use for it.
const NamedSettings = lazyPart(
  "named-settings",
  () => import("@/features/job-form/named-settings"),
);

function announceStatus(job: JobSummary): void {
  announce(text.queue.statusChanged(job.training_name, text.status[job.status]));
}

function announceAlarm({ job, problem, active }: Alarm): void {
  const name = job?.training_name ?? text.queue.title;
  announce(active ? text.alarms.raised(name, problem.message) : text.alarms.over(name));
}

interface AppProps {
  /** What was asked already; a client of its own without. */
  client?: QueryClient;
  /** `test` leaves transitions out, for tests in a document that never paints. */
  env?: "default" | "test";
}

export function App({ client: given, env = "default" }: AppProps) {
  const [client] = useState(() => given ?? newQueryClient());
  return (
    <MantineProvider theme={theme} defaultColorScheme="auto" env={env}>
      <QueryClientProvider client={client}>
        <TokenGate>
          {(lock) => (
            <LiveProvider
              onStatusMoved={announceStatus}
              onAlarm={announceAlarm}
              onUnauthorized={lock}
            >
              <Shell>
                <SettingsView value={NamedSettings}>
                  <Pages />
                </SettingsView>
              </Shell>
            </LiveProvider>
          )}
        </TokenGate>
        <Notifications position="bottom-right" limit={4} />
        <Announcer />
      </QueryClientProvider>
    </MantineProvider>
  );
}

/** What a page of pictures shows is asked for while its code is still on its way. */
function PicturesRoute({ jobId }: { jobId: number }) {
  const [job, samples] = picturesQueries(jobId);
  usePrefetchQuery(job);
  usePrefetchQuery(samples);
  return <GalleryPage jobId={jobId} />;
}

function Pages() {
  const [address] = useLocation();
  return (
    <ErrorBoundary place={address}>
      <Suspense fallback={<PageLoading />}>
        <Routes />
      </Suspense>
    </ErrorBoundary>
  );
}

function Routes() {
  return (
    <Switch>
      <Route path="/" component={QueuePage} />
      <Route path="/jobs/new">
        <JobFormPage jobId={null} />
      </Route>
      <Route path="/jobs/:id/edit">{({ id }) => <JobFormPage key={id} jobId={Number(id)} />}</Route>
      <Route path="/jobs/:id/compare">
        {({ id }) => <ComparePage key={id} jobId={Number(id)} />}
      </Route>
      <Route path="/jobs/:id/gallery">
        {({ id }) => <PicturesRoute key={id} jobId={Number(id)} />}
      </Route>
      <Route path="/jobs/:id">{({ id }) => <JobPage key={id} jobId={Number(id)} />}</Route>
      <Route path="/try/:id?">
        {({ id }) => <TryPage drawingId={id === undefined ? null : Number(id)} />}
      </Route>
      <Route path="/system" component={SystemPage} />
      <Route path="/trash" component={TrashPage} />
      <Route component={NotFoundPage} />
    </Switch>
  );
}
