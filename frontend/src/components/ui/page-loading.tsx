import { Skeleton } from "@mantine/core";
import { text } from "@/messages";

export function PageLoading() {
  return (
    <div aria-busy="true">
      <span className="visually-hidden">{text.app.loading}</span>
      <Skeleton height={34} width={220} mb={24} radius="md" />
      <Skeleton height={180} mb={20} radius="lg" />
      <Skeleton height={320} radius="lg" />
    </div>
  );
}
