// How live views look, in the colours and fonts of the JupyterLab theme.

const SERIES_LIGHT = ['#0072b2', '#d55e00', '#008f6b', '#b04f8f', '#2f9bd8', '#c98a00', '#882255', '#7d7d20', '#4b3fa7', '#707070'];
const SERIES_DARK = ['#4ba3e3', '#f28e4b', '#2cc79a', '#dd88bb', '#8fd3ff', '#f2c14e', '#e07a9c', '#c9c95e', '#a397f2', '#b5b5b5'];

const variables = colours => colours.map((colour, place) => `--cl-series-${place}: ${colour};`).join(' ');

const CSS = `
.corriente-output { padding: 4px 0; overflow: visible; }
.corriente-live {
  --cl-text: var(--jp-ui-font-color1, #212121);
  --cl-muted: var(--jp-ui-font-color2, #616161);
  --cl-grid: var(--jp-border-color2, #e0e0e0);
  --cl-axis: var(--jp-border-color1, #bdbdbd);
  --cl-paper: var(--jp-layout-color1, #fff);
  --cl-band: color-mix(in srgb, var(--jp-layout-color2, #eee) 38%, var(--cl-paper));
  --cl-live: #1a9f64;
  ${variables(SERIES_LIGHT)}
  box-sizing: border-box;
  max-width: 100%;
  margin-right: 8px;
  border: 1px solid var(--cl-grid);
  border-radius: 6px;
  background: var(--cl-paper);
  color: var(--cl-text);
  font-family: var(--jp-ui-font-family, system-ui, sans-serif);
  font-size: 12px;
  line-height: 1.4;
  overflow: hidden;
}
body[data-jp-theme-light="false"] .corriente-live {
  --cl-live: #3ddc97;
  ${variables(SERIES_DARK)}
}
.corriente-live *, .corriente-live *::before { box-sizing: border-box; }
.corriente-live [hidden] { display: none !important; }

.cl-bar { display: flex; align-items: center; gap: 8px; min-height: 34px; padding: 4px 6px 4px 12px; }
.cl-dot { flex: none; width: 8px; height: 8px; border-radius: 50%; background: var(--cl-axis); }
.cl-name { font-weight: 600; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.cl-word { color: var(--cl-muted); }
.cl-tools { display: flex; align-items: center; gap: 4px; margin-left: auto; }
[data-state="live"] > .cl-bar .cl-dot { background: var(--cl-live); animation: cl-beat 2s ease-out infinite; }
[data-state="live"] > .cl-bar .cl-word { color: var(--cl-live); }
[data-state="paused"] > .cl-bar .cl-dot { background: #e0a100; }
[data-state="error"] > .cl-bar .cl-dot { background: var(--jp-error-color1, #d32f2f); }
[data-state="static"] > .cl-bar .cl-dot { background: none; border: 1.5px solid var(--cl-axis); }
@keyframes cl-beat {
  0% { box-shadow: 0 0 0 0 color-mix(in srgb, var(--cl-live) 55%, transparent); }
  70%, 100% { box-shadow: 0 0 0 6px transparent; }
}
@media (prefers-reduced-motion: reduce) { .corriente-live .cl-dot { animation: none !important; } }

.cl-pause { display: grid; place-items: center; width: 26px; height: 26px; padding: 0; border: none; border-radius: 4px; background: none; color: var(--cl-muted); cursor: pointer; }
.cl-pause:hover { background: var(--jp-layout-color2, #eee); color: var(--cl-text); }
.cl-pause svg { width: 16px; height: 16px; fill: currentColor; }
.cl-filter { width: 150px; height: 24px; padding: 0 8px; border: 1px solid transparent; border-radius: 4px; background: var(--cl-band); color: var(--cl-text); font: inherit; }
.cl-filter::placeholder { color: var(--cl-muted); opacity: 1; }
.cl-filter:hover { border-color: var(--cl-grid); }
.corriente-live :is(.cl-pause, .cl-sort):focus-visible, .cl-filter:focus { outline: 2px solid var(--jp-brand-color1, #1976d2); outline-offset: -1px; }
.corriente-live :is(.cl-table, .cl-chart):focus-visible { outline: 2px solid var(--jp-brand-color1, #1976d2); outline-offset: -2px; }

.cl-note { padding: 5px 12px; border-top: 1px solid var(--cl-grid); background: var(--cl-band); color: var(--cl-muted); }
[data-state="error"] > .cl-note { color: var(--jp-error-color1, #d32f2f); }
.cl-facts { display: flex; flex-wrap: wrap; gap: 2px 18px; padding: 6px 12px; border-top: 1px solid var(--cl-grid); color: var(--cl-muted); font-size: 11px; font-variant-numeric: tabular-nums; }
.cl-fact-value { color: var(--cl-text); }

.cl-table { position: relative; overflow: auto; border-top: 1px solid var(--cl-grid); font-variant-numeric: tabular-nums; overscroll-behavior: contain; overflow-anchor: none; contain: strict; }
.cl-sheet { min-width: 100%; width: max-content; }
.cl-head, .cl-row { display: grid; grid-template-columns: var(--cl-columns); }
.cl-head { position: sticky; top: 0; z-index: 1; height: 40px; background: var(--cl-paper); border-bottom: 1px solid var(--cl-axis); }
.cl-th { display: flex; min-width: 0; }
.cl-sort { flex: 1; min-width: 0; display: flex; flex-direction: column; justify-content: center; align-items: flex-start; padding: 0 11px; border: none; background: none; color: inherit; font: inherit; text-align: left; cursor: pointer; }
.cl-sort:disabled { cursor: default; }
.cl-sort:not(:disabled):hover { background: var(--cl-band); }
.cl-right > .cl-sort { align-items: flex-end; text-align: right; }
.cl-th-name { max-width: 100%; font-weight: 600; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.cl-th-type { max-width: 100%; color: var(--cl-muted); font-size: 10.5px; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.cl-th[aria-sort="descending"] .cl-th-name::after { content: " ▾"; }
.cl-th[aria-sort="ascending"] .cl-th-name::after { content: " ▴"; }
.cl-space { position: relative; overflow: hidden; }
.cl-rows { position: absolute; inset: 0 0 auto 0; }
.cl-row { height: 24px; contain: strict; }
.cl-row.cl-odd { background: var(--cl-band); }
.cl-row:hover { background: var(--jp-layout-color2, #eee); }
.cl-cell { padding: 0 11px; line-height: 24px; overflow: hidden; text-overflow: ellipsis; white-space: pre; user-select: text; }
.cl-cell.cl-right { text-align: right; }
.cl-cell.cl-null { color: var(--cl-muted); opacity: 0.75; font-style: italic; }
.cl-empty { position: absolute; left: 12px; top: 54px; color: var(--cl-muted); }

.cl-chart { position: relative; border-top: 1px solid var(--cl-grid); min-height: 220px; }
.cl-picture { overflow: hidden; }
.cl-picture svg { display: block; }
.cl-picture svg text { font-family: var(--jp-ui-font-family, system-ui, sans-serif); font-variant-numeric: tabular-nums; user-select: none; }
.cl-picture img.cl-saved { display: block; max-width: 100%; height: auto; }
.cl-picture img.cl-dark, body[data-jp-theme-light="false"] .cl-picture img.cl-light { display: none; }
body[data-jp-theme-light="false"] .cl-picture img.cl-dark { display: block; }
.cl-readout { position: absolute; inset: 0; pointer-events: none; }
.cl-crosshair { position: absolute; width: 1px; background: var(--cl-muted); opacity: 0.6; }
.cl-card { position: absolute; max-width: 60%; padding: 6px 10px; border: 1px solid var(--cl-grid); border-radius: 5px; background: color-mix(in srgb, var(--cl-paper) 94%, transparent); box-shadow: 0 2px 10px rgba(0, 0, 0, 0.14); font-variant-numeric: tabular-nums; }
.cl-card-title { margin-bottom: 3px; font-weight: 600; white-space: nowrap; }
.cl-card-row { display: flex; align-items: center; gap: 7px; white-space: nowrap; }
.cl-swatch { flex: none; width: 8px; height: 8px; border-radius: 2px; }
.cl-card-name { overflow: hidden; text-overflow: ellipsis; color: var(--cl-muted); }
.cl-card-value { margin-left: auto; padding-left: 12px; }
`;

/** Adds the style to a document once. */
export function addStyle(document) {
  const id = 'corriente-live-style';
  if (!document.getElementById(id)) {
    const style = document.createElement('style');
    style.id = id;
    style.textContent = CSS;
    document.head.append(style);
  }
}
