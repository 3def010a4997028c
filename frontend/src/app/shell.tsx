import { Button } from "@mantine/core";
import type { ReactNode } from "react";
import { Link, useRoute } from "wouter";
import { Icon, type IconName } from "@/components/ui/icons";
import { ColorSchemeToggle } from "@/features/settings/color-scheme-toggle";
import { paths } from "@/lib/paths";
import { text } from "@/messages";
import { ConnectionBanner } from "./connection-banner";
import classes from "./shell.module.css";

export function Shell({ children }: { children: ReactNode }) {
  return (
    <>
      <a href="#content" className={classes.skip}>
        {text.app.skipToContent}
      </a>
      <header className={classes.bar}>
        <div className={classes.inner}>
          <Link href={paths.queue} className={classes.brand} aria-label={text.app.name}>
            <img src="/favicon.svg" width={30} height={30} alt="" />
            <span className={classes.name}>{text.app.name}</span>
          </Link>
          <nav aria-label={text.app.mainNavigation} className={classes.nav}>
            <NavLink href={paths.queue} icon="queue" label={text.app.queue} />
            <NavLink href={paths.drawings} pattern="/try/:id?" icon="try" label={text.app.tryIt} />
            <NavLink href={paths.system} icon="system" label={text.app.system} />
          </nav>
          <div className={classes.end}>
            <ColorSchemeToggle />
            <Button
              component={Link}
              href={paths.newJob}
              leftSection={<Icon name="plus" size={16} />}
              className={classes.newJob}
            >
              <span className={classes.newJobWords}>{text.app.newJob}</span>
            </Button>
          </div>
        </div>
      </header>
      <ConnectionBanner />
      <main id="content" tabIndex={-1} className={classes.main}>
        {children}
      </main>
    </>
  );
}

interface NavLinkProps {
  href: string;
  /** The addresses that belong to it; its own, unless it has more. */
  pattern?: string;
  icon: IconName;
  label: string;
}

function NavLink({ href, pattern = href, icon, label }: NavLinkProps) {
  const [current] = useRoute(pattern);
  return (
    <Link href={href} className={classes.link} aria-current={current ? "page" : undefined}>
      <Icon name={icon} />
      {label}
    </Link>
  );
}
