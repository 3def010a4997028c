import { Button, NativeSelect } from "@mantine/core";
import { useId, useState } from "react";
import { api } from "@/api/client";
import type { KindOfLora, NamedSettings, Presets } from "@/api/types";
import { Icon } from "@/components/ui/icons";
import { Notice } from "@/components/ui/notice";
import { useAnswer } from "@/lib/use-answer";
import { text } from "@/messages";
import { words } from "@/messages/job-form";
import { valueAt } from "./config-path";
import { CARD_SIZES_GB, type FormAid, GIB } from "./form-aid";
import classes from "./preset-panel.module.css";
import { changedSettings, SettingDiff } from "./setting-diff";

const FOUND = "found";

interface PresetPanelProps {
  aid: FormAid;
  /** Open from the start: for a job that begins. */
  open: boolean;
}

/** What to begin with: by kind of LoRA, for the card found or any other, with what would change. */
export function PresetPanel({ aid, open }: PresetPanelProps) {
  const titleId = useId();
  const [card, setCard] = useState(FOUND);
  const architecture = String(valueAt(aid.config, ["model", "model_architecture"]) ?? "");
  const gpu = String(valueAt(aid.config, ["job", "gpu"]) ?? "any");
  const vramBytes = card === FOUND ? undefined : Number(card) * GIB;
  const { state, data } = useAnswer(`${architecture} ${gpu} ${card}`, (signal) =>
    api.presets({ architecture, gpu, vram_bytes: vramBytes }, signal),
  );

  return (
    <section className={classes.panel} aria-labelledby={titleId}>
      <details open={open}>
        <summary className={classes.summary}>
          <h2 id={titleId} className={classes.title}>
            {words.presets.title}
          </h2>
          <Icon name="chevron" />
        </summary>
        <p className={classes.lead}>{words.presets.lead}</p>
        <div className={classes.card}>
          <NativeSelect
            label={words.presets.card}
            value={card}
            onChange={(event) => setCard(event.currentTarget.value)}
            data={[
              { value: FOUND, label: words.presets.cardFound },
              ...CARD_SIZES_GB.map((gb) => ({
                value: String(gb),
                label: words.presets.cardAsIf(gb),
              })),
            ]}
          />
          <p className={classes.reason} role="status">
            {data === null && state === "asking" ? text.app.loading : data?.reason}
          </p>
        </div>
        {state === "away" && <Notice tone="warn">{text.form.notChecked}</Notice>}
        {state === "refused" && <Notice tone="warn">{text.errors.panelTitle}</Notice>}
        {state === "failed" && <Notice tone="warn">{words.presets.failed}</Notice>}
        {data !== null && <Offered aid={aid} found={data} />}
      </details>
    </section>
  );
}

function Offered({ aid, found }: { aid: FormAid; found: Presets }) {
  const only = found.presets.length === 1 ? found.presets[0] : undefined;
  const chosen = only ?? found.presets.find(({ key }) => key === aid.kind) ?? null;
  return (
    <>
      {found.offers.length > 0 && (
        <Notice tone="info" title={words.presets.offers}>
          <NamedList aid={aid} named={found.offers} />
        </Notice>
      )}
      {found.presets.length > 0 && (
        <>
          {only === undefined ? (
            <KindCards aid={aid} found={found} />
          ) : (
            <p className={classes.lead}>
              {words.presets.only} {only.about}
            </p>
          )}
          {chosen === null ? (
            <p className={classes.lead}>{words.presets.choose}</p>
          ) : (
            <Preview aid={aid} preset={chosen} />
          )}
        </>
      )}
      {found.variants.length > 0 && (
        <details className={classes.variants}>
          <summary>{words.presets.variants}</summary>
          <p className={classes.lead}>{words.presets.variantsLead}</p>
          <NamedList aid={aid} named={found.variants} />
        </details>
      )}
    </>
  );
}

function KindCards({ aid, found }: { aid: FormAid; found: Presets }) {
  const name = useId();
  return (
    <div className={classes.kinds} role="radiogroup" aria-label={words.presets.kinds}>
      {found.presets.map((preset) => (
        <label key={preset.key} className={classes.kind}>
          <input
            type="radio"
            name={name}
            className={classes.radio}
            checked={aid.kind === preset.key}
            onChange={() => aid.onKind(preset.key)}
            aria-label={preset.label}
          />
          <span className={classes.kindName}>{preset.label}</span>
          <span className={classes.about}>{preset.about}</span>
          <Ranges kind={found.kinds.find(({ key }) => key === preset.key)} />
        </label>
      ))}
    </div>
  );
}

function Ranges({ kind }: { kind: KindOfLora | undefined }) {
  if (kind === undefined) {
    return null;
  }
  const { images, steps, ranks, key } = kind;
  const counted = key === "edit" ? words.presets.triples : words.presets.images;
  return (
    <span className={classes.ranges}>
      {[
        counted(images.lowest, images.highest),
        words.presets.steps(steps.lowest, steps.highest),
        words.presets.ranks(ranks.lowest, ranks.highest),
      ].map((range) => (
        <span key={range}>{range}</span>
      ))}
    </span>
  );
}

function Preview({ aid, preset }: { aid: FormAid; preset: NamedSettings }) {
  const count = changedSettings(aid.panels, aid.config, preset.settings).length;
  if (count === 0) {
    return (
      <p className={classes.same}>
        <Icon name="check" size={16} />
        {words.presets.nothing(preset.label)}
      </p>
    );
  }
  const preserves = "regularization.differential_output_preservation";
  const needsTrigger =
    preset.settings[preserves] === true && !valueAt(aid.config, ["job", "trigger_word"]);
  return (
    <div className={classes.preview}>
      <SettingDiff
        title={words.presets.wouldChange(preset.label)}
        panels={aid.panels}
        config={aid.config}
        settings={preset.settings}
      />
      {needsTrigger && <p className={classes.lead}>{words.presets.needsTrigger}</p>}
      <Button
        variant="light"
        leftSection={<Icon name="check" size={16} />}
        onClick={() => void aid.onApply(preset.label, preset.settings)}
      >
        {words.presets.apply(count)}
      </Button>
    </div>
  );
}

/** Each with what it would change and a button that does. */
function NamedList({ aid, named }: { aid: FormAid; named: NamedSettings[] }) {
  return (
    <ul className={classes.list}>
      {named.map((one) => {
        const rows = changedSettings(aid.panels, aid.config, one.settings);
        return (
          <li key={one.key} className={classes.item}>
            <div className={classes.itemText}>
              <p className={classes.itemName}>{one.label}</p>
              <p className={classes.about}>{one.about}</p>
              <ul className={classes.changes}>
                {rows.map((row) => (
                  <li key={row.path}>
                    {row.label}: {row.one} → {row.other}
                  </li>
                ))}
              </ul>
            </div>
            <Button
              variant="default"
              size="xs"
              disabled={rows.length === 0}
              aria-label={
                rows.length === 0
                  ? words.presets.inPlaceLabel(one.label)
                  : words.presets.applyOne(one.label)
              }
              onClick={() => void aid.onApply(one.label, one.settings)}
            >
              {rows.length === 0 ? words.presets.inPlace : words.plan.apply}
            </Button>
          </li>
        );
      })}
    </ul>
  );
}
