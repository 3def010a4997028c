import { en, type Messages } from "./en";

/** The texts of the page. Another language is another object of the same type. */
export const text: Messages = en;
