"""The look of every report's page: one file with its styles and pictures inside, no script, no link
to fetch. What a report says is not known here.
"""

from html import escape

STYLE = """
:root { color-scheme: light dark; --ink: #22262b; --soft: #5b636d; --line: #d8dce1;
  --page: #fbfbfa; --card: #ffffff; --accent: #0b5c8f; }
@media (prefers-color-scheme: dark) { :root { --ink: #e9ebee; --soft: #aab1ba; --line: #3a4048;
  --page: #16181b; --card: #1f2226; --accent: #7cc0ee; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 2.5rem 1.25rem 4rem; max-width: 68rem; background: var(--page);
  color: var(--ink); font: 16px/1.55 system-ui, "Segoe UI", Roboto, sans-serif; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 0 .75rem; }
h2 { font-size: 1.25rem; margin: 2.5rem 0 .75rem; }
h3 { font-size: 1rem; margin: 1.5rem 0 .6rem; color: var(--accent); overflow-wrap: anywhere; }
h4 { font-size: .8rem; margin: 0 0 .4rem; color: var(--soft); text-transform: uppercase;
  letter-spacing: .05em; }
.lead { font-size: 1.15rem; max-width: 46rem; margin: 0 0 1.75rem; }
.wide { overflow-x: auto; }
.wide + .wide, .pictures + .wide { margin-top: 1.75rem; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
caption { text-align: left; color: var(--soft); padding-bottom: .5rem; }
caption span { position: sticky; left: 0; display: inline-block;
  max-width: min(100%, calc(100vw - 2.5rem)); }
th, td { padding: .5rem .7rem; border-bottom: 1px solid var(--line); text-align: right;
  vertical-align: bottom; }
thead th { font-size: .82rem; color: var(--soft); font-weight: 600; }
thead th:first-child { text-align: left; }
tbody th { text-align: left; white-space: nowrap; }
.pictures { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 26rem), 1fr));
  gap: 1rem; margin-top: 1.75rem; align-items: start; }
.pictures img:nth-child(2) { grid-row: span 2; }
img { width: 100%; height: auto; border-radius: .5rem; border: 1px solid var(--line);
  background: #fff; padding: .5rem; }
.columns { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 14rem), 1fr));
  gap: .9rem; }
article { background: var(--card); border: 1px solid var(--line); border-radius: .5rem;
  padding: .9rem 1rem; }
.gates { list-style: none; margin: 0; padding: 0; }
.gates li { border-left: .25rem solid var(--line); padding: .3rem 0 .3rem .8rem; margin: 0 0 .6rem;
  max-width: 52rem; overflow-wrap: anywhere; }
.gates .shut { border-color: #c2541b; }
.gates strong { display: block; font-size: .9rem; }
article p { margin: 0; white-space: pre-wrap; overflow-wrap: anywhere; font-family: Georgia, serif;
  font-size: .95rem; }
"""

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<main>
{body}
</main>
</body>
</html>
"""


def page(title: str, body: str) -> str:
    """A whole HTML page. ``title`` is plain text, ``body`` HTML whose texts are escaped."""
    return PAGE.format(title=escape(title), style=STYLE, body=body)
