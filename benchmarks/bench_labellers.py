r"""Two people label one session on the real page, one of whom errs, while the server is killed.

    python benchmarks/bench_labellers.py --source data/clothing.zip --table images.csv \\
        --columns file=image,label=label --images 300

The people are programs that know the source's labels: each looks at the name on the page and
presses the label's key, the second another label's key in a share of the images. The server is
killed with SIGKILL at moments drawn at random and started again. After each kill what the
pages showed as written is looked for in the journals; at the end agreement is measured by
``tfclassify agree`` and by scikit-learn.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from measuring import describe_machine

import tfclassify as tfc
from tfclassify.data.columns import conclude_source
from tfclassify.data.readers import read_source
from tfclassify.files import write_json
from tfclassify.labelling.session import open_session
from tfclassify.recipe.schema import DataRecipe
from tfclassify.workflows.create import parse_columns


@dataclass
class Person:
    """One simulated labeller.

    Attributes:
        name: As in the session.
        error: Chance to give another label.
        confirmed: Label by image, as the page showed it written.
        seconds: Spent at the page.
    """

    name: str
    error: float
    random: random.Random
    confirmed: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    page: Any = None
    keys: dict[str, str] = field(default_factory=dict)

    def sit_down(self, browser: Any, address: str) -> None:
        """Open the page and say who it is."""
        self.page = browser.new_context().new_page()
        self.page.goto(address)
        self.page.wait_for_selector("body[data-ready]")
        self.page.click("#filters")
        self.page.fill("[name=labeller]", self.name)
        self.page.keyboard.press("Enter")
        self.page.wait_for_selector("body[aria-busy=false]")
        labels = self.page.evaluate("fetch('/api/session').then(a => a.json())")["labels"]
        self.keys = {label["name"]: label["key"] for label in labels}

    def label_one(self, truth: dict[str, str]) -> bool:
        """Label the image that is shown; False where there is none left.

        Raises:
            playwright's Error: If the server is gone.
        """
        began = time.perf_counter()
        image = self.page.inner_text("#name")
        if not image:
            return False
        label = truth[image]
        if self.random.random() < self.error:
            label = self.random.choice(sorted(set(self.keys) - {label}))
        self.page.keyboard.press(self.keys[label])
        self.page.wait_for_function(
            "before => document.body.ariaBusy === 'false' && (!trouble.hidden"
            " || document.getElementById('name').textContent !== before)",
            arg=image,
        )
        if self.page.is_visible("#trouble"):
            raise ConnectionError(self.page.inner_text("#trouble"))
        self.confirmed[image] = label
        self.seconds += time.perf_counter() - began
        return True


def start(photos: Path, session: Path, labels: list[str]) -> tuple[subprocess.Popen[str], str]:
    """Start the command; return it with the page's address."""
    words = [sys.executable, "-m", "tfclassify", "label", str(photos), "--session", str(session)]
    words += ["--labels", ",".join(labels), "--overlap", "1", "--labeller", "ann", "--port", "0"]
    work = subprocess.Popen(
        [*words, "--no-browser", "--quiet"],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )
    assert work.stderr is not None
    return work, work.stderr.readline().split()[-1]


def choose_photos(options: argparse.Namespace, home: Path) -> tuple[Path, dict[str, str]]:
    """Link some labelled photos into one folder without labels; return it with the labels."""
    columns = parse_columns(options.columns) if options.columns else {}
    data = {**conclude_source(options.source, columns).data}
    if options.table:
        data["table"] = options.table
    frame = read_source(DataRecipe(**data)).index.usable().frame
    frame = frame[frame["label"] != ""]
    chosen = frame.sample(min(options.images, len(frame)), random_state=options.seed)
    photos = home / "photos"
    photos.mkdir()
    truth = {}
    for number, row in enumerate(chosen.itertuples()):
        name = f"{number:04}{Path(row.path).suffix}"
        shutil.copyfile(row.path, photos / name)
        truth[name] = row.label
    return photos, truth


def label_together(
    people: list[Person], photos: Path, session: Path, truth: dict[str, str], kills: list[int]
) -> dict[str, int]:
    """Let the people label in turns, through all kills; count what came of these."""
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    found = {"kills": 0, "confirmed_before_a_kill": 0, "lost": 0}
    labels = sorted(set(truth.values()))
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        work, address = start(photos, session, labels)
        try:
            for person in people:
                person.sit_down(browser, address)
            acts, waiting = 0, list(people)
            while waiting:
                waiting = [person for person in waiting if person.label_one(truth)]
                acts += len(waiting)
                if kills and acts >= kills[0]:
                    kills.pop(0)
                    for person in waiting:  # an answer is on its way while the server dies
                        image = person.page.inner_text("#name")
                        if image:
                            person.page.keyboard.press(person.keys[truth[image]])
                    work.send_signal(signal.SIGKILL)
                    work.wait()
                    count_losses(people, session, found)
                    work, address = start(photos, session, labels)
                    for person in people:
                        person.page.context.close()
                        person.sit_down(browser, address)
            browser.close()
        finally:
            work.kill()
            work.wait()
    count_losses(people, session, found)
    return {**found, "kills": found["kills"] - 1}


def count_losses(people: list[Person], session: Path, found: dict[str, int]) -> None:
    """Compare the journals with what the pages showed as written."""
    opened = open_session(session)
    found["kills"] += 1
    for person in people:
        written = {
            image: answer.labels[0] for image, answer in opened.read_answers(person.name).items()
        }
        found["confirmed_before_a_kill"] += len(person.confirmed)
        found["lost"] += sum(
            written.get(image) != label for image, label in person.confirmed.items()
        )
        person.confirmed = written  # what was on its way may have arrived


def measure(session: Path, people: list[Person], truth: dict[str, str]) -> dict[str, Any]:
    """Measure agreement by ours and by scikit-learn, and each person's errors."""
    from sklearn.metrics import cohen_kappa_score

    agreement = tfc.agree(session, progress=False).agreement
    names = sorted(truth)
    said = [[person.confirmed[name] for name in names] for person in people]
    pair = agreement.pairs[0]
    return {
        "images": len(names),
        "raw": pair.raw.value,
        "cohen": pair.kappa.value,
        "cohen_of_scikit_learn": float(cohen_kappa_score(*said)),
        "alpha": [agreement.alpha.value, agreement.alpha.low, agreement.alpha.high],
        "errors": {
            person.name: sum(label != truth[name] for name, label in person.confirmed.items())
            for person in people
        },
    }


def main() -> None:
    """Print the figures, and write them where asked."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--source", required=True)
    parser.add_argument("--table")
    parser.add_argument("--columns")
    parser.add_argument("--images", type=int, default=300)
    parser.add_argument("--error", type=float, default=0.1)
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    draw = random.Random(options.seed)
    home = Path(tempfile.mkdtemp(prefix="bench_labellers_"))
    try:
        photos, truth = choose_photos(options, home)
        kills = sorted(draw.sample(range(1, 2 * len(truth) - 1), options.kills))
        people = [
            Person("ann", 0.0, random.Random(options.seed + 1)),
            Person("ben", options.error, random.Random(options.seed + 2)),
        ]
        found = label_together(people, photos, home / "session", truth, kills)
        figures = measure(home / "session", people, truth)
    finally:
        shutil.rmtree(home, ignore_errors=True)
    speeds = {each.name: 3600 * len(truth) / each.seconds for each in people}
    result = {**found, **figures, "images_an_hour": speeds}
    print(json.dumps(result, indent=2))
    if options.out is not None:
        write_json(options.out, {"machine": describe_machine(), **result})


if __name__ == "__main__":
    main()
