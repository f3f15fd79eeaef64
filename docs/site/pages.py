"""Pages from outside docs/, and links that leave docs/.

On the site README.md is the home page, and the files with results can be opened. A link to any other file of the
repository becomes its text.
"""

import os
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[2]
PAGES = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "runs/README.md": "runs.md",
    "benchmarks/results": "results.md",
}
LINK = re.compile(r"(?P<image>!?)\[(?P<text>[^\]]*)\]\((?P<target>[^)#\s]+)(?P<anchor>#[^)\s]*)?\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages, and the results."""
    added = dict(PAGES)
    for path in sorted((ROOT / "benchmarks" / "results").iterdir()):
        added[path.relative_to(ROOT).as_posix()] = f"measured/{path.name}"
    for source, target in added.items():
        if (ROOT / source).is_file():
            files.append(File.generated(config, target, abs_src_path=str(ROOT / source)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Point the links of a page to where their targets are on the site."""
    sources = {target: source for source, target in PAGES.items()}
    here = page.file.src_uri
    folder = (ROOT / sources.get(here, f"docs/{here}")).parent

    def replace(link: re.Match[str]) -> str:
        target = Path(os.path.normpath(folder / link["target"]))
        if ":" in link["target"] or not target.exists():
            return link[0]
        place = _place(target.relative_to(ROOT).as_posix())
        if place is None:
            return link["text"]
        relative = os.path.relpath(place, Path(here).parent).replace(os.sep, "/")
        return f"{link['image']}[{link['text']}]({relative}{link['anchor'] or ''})"

    return LINK.sub(replace, markdown)


def _place(source: str) -> str | None:
    if source in PAGES:
        return PAGES[source]
    if source.startswith("benchmarks/results/"):
        return f"measured/{Path(source).name}"
    return source.removeprefix("docs/") if source.startswith("docs/") else None
