"""bench/report: measure and write a page; or write one of a run's file; or compare two.

    bench/report [--quick] [--kube-proxy PATH] [what else pytest takes]
    bench/report RUN.json                 the page of a run
    bench/report BEFORE.json AFTER.json   what has changed beyond noise

A run is written as bench/results/report/: run.json, index.html and summary.md (or --to FOLDER). With --docs FILE the
tables of that Markdown file are replaced by this run's, from the line that says where they begin.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from bench.harness.results import Results
from bench.page.compare import compare

BENCH = Path(__file__).parent.parent
QUESTIONS = sorted(str(file) for file in BENCH.glob("test_*.py") if "stage: Arena" in file.read_text())
MORE = [str(BENCH / "test_programming_time.py"), str(BENCH / "test_engine.py")]  #: in a full run
BEGIN = "<!-- From here on written by bench/report. -->\n"


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="bench/report", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--to", type=Path, default=BENCH / "results" / "report", metavar="FOLDER")
    parser.add_argument("--docs", type=Path, metavar="FILE")
    options, words = parser.parse_known_args()
    files = [Path(word) for word in words if word.endswith(".json") and not word.startswith("-")]
    try:
        if len(files) == 2:
            print(compare(*map(Results.load, files)), end="")
            return 0
        run = files[0] if files else options.to / "run.json"
        if not files and (code := _measure(run, words)) != 0:
            return code
        write(Results.load(run), options.to)
        if options.docs:
            publish((options.to / "summary.md").read_text(), options.docs)
    except (OSError, ValueError) as error:
        print(f"bench/report: {error}", file=sys.stderr)
        return 2
    print(f"{options.to / 'index.html'}\n{options.to / 'summary.md'}")
    return 0


def write(results: Results, folder: Path) -> None:
    try:
        from bench.page.html import page
        from bench.page.markdown import markdown
    except ModuleNotFoundError as error:
        raise ValueError(f"the page needs {error.name}: pip install -e '.[bench]'") from None
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "index.html").write_text(page(results))
    (folder / "summary.md").write_text(markdown(results))


def publish(summary: str, file: Path) -> None:
    """Put a run's tables into a page of the documentation. ValueError if it does not say where."""
    text, found, _ = file.read_text().partition(BEGIN)
    if not found:
        raise ValueError(f"{file}: expected a line {BEGIN.strip()}")
    file.write_text(f"{text}{BEGIN}\n{summary}")


def _measure(run: Path, words: list[str]) -> int:
    quick = "--quick" in words
    measured = [*QUESTIONS, *([] if quick else MORE)]
    sizes = [] if quick or any(word.startswith("--sizes") for word in words) else ["--sizes", "1000,10000"]
    command = [sys.executable, "-m", "pytest", "-q", "-s", *measured, *sizes, "--output", str(run), *words]
    return subprocess.run(command, cwd=BENCH.parent).returncode


if __name__ == "__main__":
    sys.exit(main())
