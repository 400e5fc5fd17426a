"""The look of a page, light, dark and printed.

Owns: the style sheet. Does not own: the figures' colours, whose names it repeats as
variables (``drawing.THEME``).
"""

from __future__ import annotations

STYLESHEET = """
:root {
  color-scheme: light dark;
  --paper: #ffffff; --panel: #f6f8fa; --line: #dfe4ea;
  --ink: #1b2430; --muted: #5b6878; --faint: #b4bec9; --grid: #e4e8ed;
  --accent: #1f6f8b; --soft: #c3d8e0; --second: #c98a2b; --third: #7b6ca8; --alert: #b4472f;
  --font: ui-sans-serif, system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial,
    "Noto Sans", "DejaVu Sans", sans-serif;
  --mono: ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace;
}
@media screen and (prefers-color-scheme: dark) {
  :root {
    --paper: #12171d; --panel: #1a2129; --line: #2b3540;
    --ink: #e4e9ee; --muted: #9aa7b4; --faint: #55626f; --grid: #29323c;
    --accent: #3f9dbd; --soft: #24485a; --second: #d9a14a; --third: #9d8fcb; --alert: #d8705a;
  }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; scroll-behavior: smooth; }
body {
  margin: 0; background: var(--paper); color: var(--ink);
  font: 15px/1.55 var(--font); font-variant-numeric: tabular-nums;
}
.sheet { max-width: 1040px; margin: 0 auto; padding: 36px 28px 64px; }
header.top { display: flex; flex-wrap: wrap; gap: 4px 24px; align-items: baseline;
  border-bottom: 2px solid var(--ink); padding-bottom: 14px; }
header.top h1 { font-size: 28px; line-height: 1.2; letter-spacing: -0.01em; margin: 0;
  flex: 1 1 auto;
  overflow-wrap: anywhere; }
header.top p { margin: 0; color: var(--muted); }
header.top .lead { flex: 1 0 100%; font-size: 16px; color: var(--ink); }
nav { margin: 12px 0 0; display: flex; flex-wrap: wrap; gap: 4px 18px; font-size: 13.5px; }
nav a { color: var(--muted); text-decoration: none; }
nav a:hover, nav a:focus-visible { color: var(--accent); text-decoration: underline; }
section { margin-top: 44px; }
h2 { font-size: 20px; line-height: 1.3; margin: 0 0 6px; letter-spacing: -0.005em; }
h3 { font-size: 15px; margin: 26px 0 8px; }
p { margin: 6px 0 12px; max-width: 72ch; }
a { color: var(--accent); }
.quiet { color: var(--muted); }
.caution { max-width: none; margin: 14px 0 0;
  border-left: 3px solid var(--second); padding: 2px 0 2px 12px; color: var(--muted); }
.headline { display: grid; grid-template-columns: minmax(300px, 5fr) 6fr; gap: 20px;
  margin-top: 28px; }
.hero { background: var(--panel); border: 1px solid var(--line); border-radius: 10px;
  padding: 22px 24px 18px; }
.hero .name { color: var(--muted); font-size: 14px; margin: 0; }
.hero .score { font-size: 54px; line-height: 1.1; font-weight: 650; letter-spacing: -0.02em;
  margin: 2px 0 4px; }
.hero .gauge { display: block; width: 100%; height: 40px; margin-top: 8px; }
.hero p { margin: 4px 0 0; }
.tiles { display: grid; grid-template-columns: repeat(3, 1fr); border: 1px solid var(--line);
  border-radius: 10px; overflow: hidden; }
.tile { padding: 13px 16px; border: 0 solid var(--line); border-width: 0 1px 1px 0;
  margin: 0 -1px -1px 0; }
.tile b { display: block; font-size: 21px; font-weight: 620; line-height: 1.35; }
.tile span { display: block; color: var(--muted); font-size: 13px; line-height: 1.4; }
.columns { display: grid; grid-template-columns: repeat(auto-fit, minmax(300px, 1fr));
  gap: 4px 40px; }
.beside { display: flex; flex-wrap: wrap; gap: 8px 40px; align-items: flex-start; }
.beside > figure { flex: 0 1 auto; min-width: 0; max-width: 100%; }
.beside > div { flex: 1 1 260px; }
dl { margin: 8px 0; display: grid; align-content: start;
  grid-template-columns: minmax(110px, max-content) 1fr; gap: 5px 18px; }
dt { color: var(--muted); }
dd { margin: 0; overflow-wrap: anywhere; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: 14px; }
table.narrow { max-width: 640px; }
th, td { text-align: left; padding: 6px 14px 6px 0; border-bottom: 1px solid var(--line);
  vertical-align: baseline; font-weight: 400; }
thead th { color: var(--muted); font-size: 13px; border-bottom-color: var(--faint);
  white-space: nowrap; }
tbody th { overflow-wrap: anywhere; min-width: 8em; }
th.n, td.n { text-align: right; white-space: nowrap; padding: 6px 0 6px 18px; }
td small { color: var(--muted); font-size: 12.5px; }
img { max-width: 100%; height: auto; }
figure { margin: 12px 0 4px; }
figure svg { height: auto; max-width: 100%; min-width: min(100%, 460px); display: block; }
figure.wide svg { min-width: 640px; }
figcaption { color: var(--muted); font-size: 13px; margin-top: 4px; max-width: 72ch; }
.photos { display: grid; grid-template-columns: repeat(auto-fill, minmax(136px, 1fr));
  gap: 18px 16px;
  margin: 14px 0 0; padding: 0; list-style: none; }
.photos img, .strip img { display: block; background: var(--panel); border-radius: 5px; }
.photos img { width: 100%; height: auto; aspect-ratio: 1; object-fit: contain; }
img.pixels { image-rendering: pixelated; }
.photos b { display: block; font-size: 13.5px; font-weight: 600; margin-top: 6px;
  line-height: 1.35;
  overflow-wrap: anywhere; }
.photos span { display: block; font-size: 12.5px; line-height: 1.4; color: var(--muted);
  overflow-wrap: anywhere; }
.strip { display: flex; flex-wrap: wrap; gap: 6px; }
.strip img { height: 76px; width: auto; max-width: 180px; }
.classes { display: grid; grid-template-columns: minmax(110px, max-content) 1fr; gap: 10px 20px;
  align-items: center; }
.classes p { margin: 0; line-height: 1.35; overflow-wrap: anywhere; }
code, pre { font-family: var(--mono); font-size: 13px; }
pre { background: var(--panel); border: 1px solid var(--line); border-radius: 8px;
  padding: 12px 14px;
  overflow-x: auto; margin: 6px 0 14px; line-height: 1.5; }
details { margin: 12px 0; }
summary { cursor: pointer; color: var(--accent); }
.badge { display: inline-block; font-size: 12.5px; padding: 0 8px; border-radius: 9px;
  border: 1px solid currentColor; color: var(--muted); white-space: nowrap; }
.badge.bad { color: var(--alert); }
footer { margin-top: 56px; padding-top: 12px; border-top: 1px solid var(--line);
  color: var(--muted);
  font-size: 13px; }
.unseen { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%);
  white-space: nowrap; }
@media screen and (max-width: 760px) {
  .sheet { padding: 22px 16px 48px; }
  .tile { padding: 12px; }
  .headline { grid-template-columns: 1fr; }
  .classes { grid-template-columns: 1fr; }
}
@media print {
  @page { margin: 14mm; }
  body { font-size: 10.5pt; }
  .sheet { max-width: none; padding: 0; }
  nav { display: none; }
  section { margin-top: 26px; }
  figure, tr, .hero, .tile, .photos li, pre { break-inside: avoid; }
  h2, h3 { break-after: avoid; }
  .scroll { overflow: visible; }
  .beside { display: block; }
  figure svg, figure.wide svg { min-width: 0; }
  pre { white-space: pre-wrap; overflow-wrap: anywhere; }
  * { -webkit-print-color-adjust: exact; print-color-adjust: exact; }
}
""".strip()
