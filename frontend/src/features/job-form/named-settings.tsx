import { useQuery } from "@tanstack/react-query";
import { useMemo } from "react";
import { jobSchemaQuery } from "@/api/queries";
import type { SettingsViewProps } from "@/components/ui/settings-view";
import { panelsOf } from "./setting-model";
import { namedSettings } from "./setting-names";

/** Settings with their values as the form names them. */
export default function NamedSettings({ className, settings }: SettingsViewProps) {
  const schema = useQuery(jobSchemaQuery).data;
  const named = useMemo(
    () => (schema === undefined ? [] : namedSettings(panelsOf(schema), settings)),
    [schema, settings],
  );
  return (
    <ul className={className}>
      {named.map(({ path, label, value }) => (
        <li key={path}>
          {label}: {value}
        </li>
      ))}
    </ul>
  );
}
