import { QueryClient } from "@tanstack/react-query";
import { ApiError } from "@/api/errors";

export function newQueryClient(): QueryClient {
  return new QueryClient({
    defaultOptions: {
      queries: {
        // The stream keeps answers current; a page that comes back asks again.
        staleTime: 1000,
        refetchOnWindowFocus: false,
        refetchOnReconnect: false,
        networkMode: "always",
        // A refusal stays a refusal. When the server is away, its return asks again.
        retry: (failures, error) => !(error instanceof ApiError) && failures < 1,
      },
      mutations: { networkMode: "always" },
    },
  });
}
