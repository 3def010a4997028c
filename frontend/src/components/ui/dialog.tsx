import { Modal } from "@mantine/core";
import type { ReactNode } from "react";
import classes from "./dialog.module.css";
import { useFocusBack } from "./focus-back";

interface DialogProps {
  title: string;
  opened: boolean;
  onClose: () => void;
  size?: "md" | "lg";
  children: ReactNode;
}

/** A question in front of the page. Mantine's own header would be a second banner landmark. */
export function Dialog({ title, opened, onClose, size = "md", children }: DialogProps) {
  useFocusBack(opened);
  return (
    <Modal.Root opened={opened} onClose={onClose} size={size} centered>
      <Modal.Overlay />
      <Modal.Content radius="lg" aria-label={title}>
        <Modal.Body className={classes.body}>
          <h2 className={classes.title}>{title}</h2>
          {children}
        </Modal.Body>
      </Modal.Content>
    </Modal.Root>
  );
}
