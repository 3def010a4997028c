import { Button } from "@mantine/core";
import { Component, type ReactNode } from "react";
import { text } from "@/messages";
import { Notice } from "./notice";

interface ErrorBoundaryProps {
  children: ReactNode;
  /** What is drawn here; another place is tried without the error of the one before. */
  place?: string;
}

interface ErrorBoundaryState {
  error: Error | null;
}

/** What breaks while drawing is said in its own place; the rest of the page stays. */
export class ErrorBoundary extends Component<ErrorBoundaryProps, ErrorBoundaryState> {
  override state: ErrorBoundaryState = { error: null };

  static getDerivedStateFromError(error: Error): ErrorBoundaryState {
    return { error };
  }

  override componentDidUpdate(before: ErrorBoundaryProps): void {
    if (before.place !== this.props.place && this.state.error !== null) {
      this.setState({ error: null });
    }
  }

  override render(): ReactNode {
    if (this.state.error === null) {
      return this.props.children;
    }
    return (
      <Notice
        tone="bad"
        title={text.errors.crashedTitle}
        action={
          <Button variant="default" size="xs" onClick={() => this.setState({ error: null })}>
            {text.errors.retry}
          </Button>
        }
      >
        {text.errors.crashed} <code>{this.state.error.message}</code>
      </Notice>
    );
  }
}
