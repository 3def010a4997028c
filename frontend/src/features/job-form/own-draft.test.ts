import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { holdDraft, letGoOfDraft, openDraft } from "./own-draft";
import { draftsLike, readDraft, storeDraft } from "./stored-draft";

/** A browser tab: what it remembers for itself, and the page that it has loaded. */
class Tab {
  private own: [string, string][] = [];
  private page = 0;
  held = "";

  constructor(private readonly name: string) {}

  open(form = "new"): string {
    window.sessionStorage.clear();
    for (const [name, value] of this.own) {
      window.sessionStorage.setItem(name, value);
    }
    this.held = openDraft(form, this.name + this.page);
    this.own = Object.entries({ ...window.sessionStorage });
    holdDraft(this.held, this.name + this.page);
    return this.held;
  }

  type(cook: string): void {
    storeDraft(this.held, { cook });
    vi.advanceTimersByTime(1000);
  }

  close(): void {
    letGoOfDraft(this.held);
    this.page += 1;
  }

  reload(form = "new"): string {
    this.close();
    return this.open(form);
  }

  duplicated(name: string): Tab {
    const tab = new Tab(name);
    tab.own = [...this.own];
    return tab;
  }
}

const cook = (own: string) => readDraft(own)?.config.cook;

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

describe("two tabs of a form", () => {
  test("keep a text each, and a reload of one brings back its own", () => {
    const [first, second] = [new Tab("first"), new Tab("second")];
    first.open();
    first.type("Ada");
    expect(cook(second.open())).toBeUndefined();
    second.type("Bob");
    expect(cook(first.reload())).toBe("Ada");
    expect(cook(second.reload())).toBe("Bob");
  });

  test("leave the newest text of those that were closed to the next that is opened", () => {
    const [first, second] = [new Tab("first"), new Tab("second")];
    first.open();
    second.open();
    first.type("Ada");
    second.type("Bob");
    first.close();
    second.close();
    const third = new Tab("third");
    expect(cook(third.open())).toBe("Bob");
    expect(cook(new Tab("fourth").open())).toBe("Ada");
    expect(draftsLike("new~")).toHaveLength(2);
  });

  test("begin with the same text when one is a duplicate, and go on apart", () => {
    const first = new Tab("first");
    first.open();
    first.type("Ada");
    const second = first.duplicated("second");
    expect(cook(second.open())).toBe("Ada");
    second.type("Bob");
    expect(cook(first.reload())).toBe("Ada");
  });

  test("are told apart by form", () => {
    const [first, second] = [new Tab("first"), new Tab("second")];
    first.open("copy-1");
    first.type("Ada");
    first.close();
    expect(cook(second.open("copy-1-prompt=3.5"))).toBeUndefined();
    expect(cook(second.open("copy-1"))).toBe("Ada");
  });
});

test("the text of a page that crashed is free after some minutes, not before", () => {
  const first = new Tab("first");
  first.open();
  first.type("Ada");
  const second = new Tab("second");
  expect(cook(second.open())).toBeUndefined();
  vi.advanceTimersByTime(200_000);
  expect(cook(second.reload())).toBe("Ada");
});

test("a text that another form hands over takes the place of the tab's own", () => {
  const tab = new Tab("first");
  tab.open();
  storeDraft(`${tab.held}.yaml`, { text: "old" });
  tab.type("Ada");
  storeDraft("new", { cook: "handed over" });
  expect(cook(tab.reload())).toBe("handed over");
  expect(readDraft(`${tab.held}.yaml`)).toBeNull();
  expect(draftsLike("new")).toEqual([tab.held]);
});
