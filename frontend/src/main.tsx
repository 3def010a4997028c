import { pageClient } from "./app/first-questions";
import "@mantine/core/styles.css";
import "@mantine/notifications/styles.css";
import "./app/tokens.css";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { App } from "./app/app";

const root = document.getElementById("root");
if (root === null) {
  throw new Error("index.html has no #root element.");
}
createRoot(root).render(
  <StrictMode>
    <App client={pageClient} />
  </StrictMode>,
);
