//! The page's style sheet: light and dark, nothing from outside.

/// Colours of ratios are two hues (blue better, orange worse) that stay apart for the colour-blind; the number says the same.
pub(super) const STYLE: &str = r#"
:root {
  color-scheme: light dark;
  --page: #f7f7f5; --card: #ffffff; --ink: #1c1e21; --soft: #5c6268; --line: #dcdcd7;
  --ours: #1f5fbf; --peer: #a9b2bc; --best: #6d7884; --floor: #cfc6a5; --better: 31, 95, 191; --worse: 201, 98, 18;
  --warn: #8a4b08;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #15171a; --card: #1d2024; --ink: #e8e8e4; --soft: #a0a6ad; --line: #353a40;
    --ours: #6aa3f2; --peer: #59626c; --best: #8b96a2; --floor: #7a7150; --better: 80, 145, 235; --worse: 222, 124, 46;
    --warn: #e3a35c;
  }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink); font: 15px/1.5 system-ui, "Segoe UI", "Helvetica Neue", "DejaVu Sans", sans-serif; }
main { max-width: 1240px; margin: 0 auto; padding: 32px 20px 64px; }
h1 { font-size: 28px; line-height: 1.2; margin: 0 0 4px; }
h2 { font-size: 20px; margin: 40px 0 12px; }
h3 { font-size: 17px; margin: 0; }
h4 { font-size: 13px; font-weight: 600; color: var(--soft); margin: 0 0 4px; }
p { margin: 6px 0; max-width: 100ch; }
.soft { color: var(--soft); }
.answer { font-size: 19px; margin: 18px 0 6px; max-width: none; }
.warn { color: var(--warn); font-weight: 600; }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 8px; padding: 18px 20px; margin: 16px 0; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: 13px; width: 100%; }
th, td { padding: 6px 8px; text-align: right; white-space: nowrap; border-bottom: 1px solid var(--line); }
th { font-weight: 600; color: var(--soft); }
th:first-child, td:first-child { text-align: left; }
tbody th { color: var(--ink); white-space: normal; min-width: 170px; }
tbody th small { display: block; font-weight: 400; color: var(--soft); }
tbody th a { color: inherit; text-decoration: none; }
tbody th a:hover { text-decoration: underline; }
table.summary th.ours, table.summary td.ours { border-left: 2px solid var(--ours); border-right: 2px solid var(--ours); }
table.summary th, table.summary td { padding: 6px; vertical-align: top; }
table.summary thead th { white-space: normal; vertical-align: bottom; }
table.summary tbody th { text-align: left; }
table.summary td b { display: block; font-size: 14px; }
table.summary td i { display: block; font-style: normal; font-size: 11px; color: var(--soft); }
table.summary td span { font-size: 12px; white-space: normal; }
table.summary td.best { outline: 2px solid var(--best); outline-offset: -3px; }
table.figures td { vertical-align: top; }
table.figures td small { display: block; color: var(--soft); font-size: 11px; }
table.figures th:first-child, table.figures td:first-child { position: sticky; left: 0; background: var(--card); white-space: normal; min-width: 150px; }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(400px, 1fr)); gap: 20px; margin-top: 12px; }
.plot { width: 100%; height: auto; display: block; font-size: 12px; }
.plot .grid { stroke: var(--line); stroke-width: 1; }
.plot text { fill: var(--ink); }
.plot .tick { fill: var(--soft); text-anchor: middle; font-size: 11px; }
.plot .name { text-anchor: end; }
.plot .name.ours { font-weight: 700; fill: var(--ours); }
.plot .value { font-variant-numeric: tabular-nums; }
.bar.ours, .mark.ours { fill: var(--ours); }
.bar.peer, .mark.peer { fill: var(--peer); }
.bar.best, .mark.best { fill: var(--best); }
.bar.floor, .mark.floor { fill: var(--floor); }
.bar.floor { stroke: var(--soft); stroke-width: 1; stroke-dasharray: 3 2; }
.mark { stroke: var(--card); stroke-width: 1; }
.link { stroke-width: 2; stroke: var(--line); }
.link.ours { stroke: var(--ours); opacity: 0.4; }
.whisker { fill: none; stroke: var(--ink); stroke-width: 1; }
.quartiles { fill: none; stroke: var(--ink); stroke-width: 3; }
.legend { font-size: 12px; color: var(--soft); margin: 0; max-width: none; }
.legend > span { white-space: nowrap; }
.legend .key { vertical-align: -2px; margin-left: 8px; }
.legend .mark { fill: var(--soft); }
.swatch { display: inline-block; width: 12px; height: 12px; border-radius: 2px; vertical-align: -1px; margin-left: 10px; }
details { margin-top: 12px; }
summary { cursor: pointer; color: var(--soft); }
pre { overflow-x: auto; font-size: 12px; background: var(--page); padding: 12px; border-radius: 6px; }
ul { padding-left: 20px; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 2px 16px; margin: 0; }
dt { color: var(--soft); }
dd { margin: 0; overflow-wrap: anywhere; }
@media print { .card { break-inside: avoid; } }
"#;
