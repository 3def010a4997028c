/** One server-sent event: its cursor, its name and its data, still as text. */
export interface ServerEvent {
  id: string | null;
  name: string;
  data: string;
}

/**
 * Server-sent events out of text that arrives in pieces of any size (WHATWG HTML, section 9.2.6).
 *
 * Feed pieces in order; whole events come out. Comments (the server's ping) give nothing.
 */
export class EventParser {
  private rest = "";
  private id: string | null = null;
  private name = "";
  private data: string[] = [];

  feed(piece: string): ServerEvent[] {
    const lines = (this.rest + piece).split(/\r\n|\n/);
    this.rest = lines.pop() ?? "";
    const events: ServerEvent[] = [];
    for (const line of lines) {
      const event = this.take(line);
      if (event !== null) {
        events.push(event);
      }
    }
    return events;
  }

  private take(line: string): ServerEvent | null {
    if (line === "") {
      return this.dispatch();
    }
    const colon = line.indexOf(":");
    const field = colon === -1 ? line : line.slice(0, colon);
    const value = colon === -1 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (field === "id") {
      this.id = value;
    } else if (field === "event") {
      this.name = value;
    } else if (field === "data") {
      this.data.push(value);
    }
    return null;
  }

  private dispatch(): ServerEvent | null {
    const event =
      this.data.length > 0
        ? { id: this.id, name: this.name || "message", data: this.data.join("\n") }
        : null;
    this.name = "";
    this.data = [];
    return event;
  }
}
