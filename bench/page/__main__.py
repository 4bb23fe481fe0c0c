"""bench/report: measure and write a page; or write one of a run's file; or compare two.

    bench/report [--quick] [--kube-proxy PATH] [what else pytest takes]
    bench/report RUN.json                 the page of a run
    bench/report BEFORE.json AFTER.json   what has changed beyond noise

A run is written as bench/results/report/: run.json, index.html and summary.md (or --to FOLDER). With --docs FILE the
tables of that Markdown file are replaced by this run's, from the line that says where they begin; with --readme FILE a
short one, between two such lines. What was measured is saved after each question, so a run that is interrupted has a
page, too: bench/report bench/results/report/run.json
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from bench.harness.fixtures import QUICK_MINUTES
from bench.harness.results import Results
from bench.page.compare import compare
from bench.page.overview import overview

BENCH = Path(__file__).parent.parent
QUESTIONS = sorted(str(file) for file in BENCH.glob("test_*.py") if "stage: Arena" in file.read_text())
MORE = [str(BENCH / name) for name in ("test_programming_time.py", "test_engine.py", "test_agent.py")]  #: in a full run
SIZES = "1000,10000,1000x100,1x10000"  #: of clusters, for those
LEFT_OUT = "bench/test_agent.py::test_how_long_until_packets_follow_the_agent[1000x4]"  #: 10,000 tell more
MINUTES = 54  #: of a full run, after which no further question is asked
LATE = 180  #: seconds after that; then it is ended, and the page is made of what there is
README_BEGIN = "<!-- Written by bench/report --readme README.md, from here -->\n"
README_END = "<!-- to here -->\n"
BEGIN = "<!-- From here on written by bench/report. -->\n"


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="bench/report", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--to", type=Path, default=BENCH / "results" / "report", metavar="FOLDER")
    parser.add_argument("--docs", type=Path, metavar="FILE")
    parser.add_argument("--readme", type=Path, metavar="FILE")
    options, words = parser.parse_known_args()
    files = [Path(word) for word in words if word.endswith(".json") and not word.startswith("-")]
    try:
        if len(files) == 2:
            print(compare(*map(Results.load, files)), end="")
            return 0
        run = files[0] if files else options.to / "run.json"
        code = 0
        if not files:
            run.unlink(missing_ok=True)  # of an earlier time: its figures are none of this run
            code = _measure(run, words)
            if not run.exists():
                return code or 1
        results = Results.load(run)
        write(results, options.to)
        if options.docs:
            publish((options.to / "summary.md").read_text(), options.docs)
        if options.readme:
            publish(overview(results), options.readme, README_BEGIN, README_END)
    except (OSError, ValueError) as error:
        print(f"bench/report: {error}", file=sys.stderr)
        return 2
    print(f"{options.to / 'index.html'}\n{options.to / 'summary.md'}")
    if code:
        print("bench/report: some questions failed, see above; the page has what was measured", file=sys.stderr)
    return code


def write(results: Results, folder: Path) -> None:
    try:
        from bench.page.html import page
        from bench.page.markdown import markdown
    except ModuleNotFoundError as error:
        raise ValueError(f"the page needs {error.name}: pip install -e '.[bench]'") from None
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "index.html").write_text(page(results))
    (folder / "summary.md").write_text(markdown(results))


def publish(tables: str, file: Path, begin: str = BEGIN, end: str = "") -> None:
    """Put a run's tables into a page of the documentation, between two lines, or after the first one if there is no
    second. ValueError if it does not have them."""
    text, found, rest = file.read_text().partition(begin)
    if not found:
        raise ValueError(f"{file}: expected a line {begin.strip()}")
    after = ""
    if end:
        _, found, after = rest.partition(end)
        if not found:
            raise ValueError(f"{file}: expected a line {end.strip()}")
        end = f"\n{end}"
    file.write_text(f"{text}{begin}\n{tables}{end}{after}")


def _measure(run: Path, words: list[str]) -> int:
    """Ask all questions; what pytest says of it. It ends in time, whatever happens."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--minutes", type=float)
    parser.add_argument("--sizes", default=SIZES)
    asked, more = parser.parse_known_args(words)
    command = [sys.executable, "-m", "pytest", "-q", "-s", *QUESTIONS, "--output", str(run), *more]
    if asked.quick:
        minutes = asked.minutes or QUICK_MINUTES
        command.append("--quick")
    else:
        minutes = asked.minutes or MINUTES
        command += [*MORE, "--sizes", asked.sizes, "--deselect", LEFT_OUT]
    pytest = subprocess.Popen([*command, "--minutes", str(minutes)], cwd=BENCH.parent)
    try:
        return pytest.wait(60 * minutes + LATE)
    except subprocess.TimeoutExpired:
        print(f"bench/report: not done {LATE} s after its time, so it is ended", file=sys.stderr)
        pytest.terminate()
    try:
        return pytest.wait(LATE / 5) or 1
    except subprocess.TimeoutExpired:
        pytest.kill()
        return 1


if __name__ == "__main__":
    sys.exit(main())
